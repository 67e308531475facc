// An agent of the AI SDK with a scripted model: it lists the tools, calls some of them, reads what they answer, and ends.
//
// Its one argument is JSON: {transport: {command, args} | {url, token}, discover: whether to try the protocol of
// 2026-07-28 first, namespace, service}. It prints one JSON object: what it saw and did.

import { createMCPClient } from '@ai-sdk/mcp';
import { Experimental_StdioMCPTransport as StdioTransport } from '@ai-sdk/mcp/mcp-stdio';
import { generateText, isStepCount } from 'ai';
import { MockLanguageModelV4 } from 'ai/test';

const { transport, discover, namespace, service } = JSON.parse(process.argv[2]);

// What the model would do next, given the structured results so far: each step uses what the one before it found.
const script = [
  () => ['kube_topology', { namespace, service }],
  ([topology]) => ['kube_describe', { kind: 'Pod', namespace, name: topology.data.pods[0].pod }],
  () => ['metrics_query', { query: `sum(up{service="${service}"})` }],
  () => ['kube_list', { kinds: 'pods' }], // no such argument: the refusal must reach the model
  ([topology]) => ['evidence_read', { id: topology.evidence.id, path: '/pods' }],
];

const usage = { inputTokens: { total: 1 }, outputTokens: { total: 1 } };

function answers(prompt) {
  return prompt.filter((message) => message.role === 'tool').flatMap((message) => message.content.map((part) => part.output));
}

function structured(output) {
  const text = output.type === 'content' ? output.value.map((part) => part.text ?? '').join('') : output.value;
  try {
    return typeof text === 'string' ? JSON.parse(text) : text.structuredContent ?? text;
  } catch {
    return { refused: text };
  }
}

const offered = [];
const model = new MockLanguageModelV4({
  doGenerate: async ({ prompt, tools }) => {
    offered.push(tools.map((tool) => tool.name));
    const seen = answers(prompt).map(structured);
    if (seen.length === script.length) {
      const text = JSON.stringify(seen);
      return { content: [{ type: 'text', text }], finishReason: { unified: 'stop', raw: undefined }, usage, warnings: [] };
    }
    const [toolName, input] = script[seen.length](seen);
    const call = { type: 'tool-call', toolCallId: `call-${seen.length}`, toolName, input: JSON.stringify(input) };
    return { content: [call], finishReason: { unified: 'tool-calls', raw: undefined }, usage, warnings: [] };
  },
});

const client = await createMCPClient({
  clientName: 'midwatch-outside',
  protocolVersionDiscovery: discover,
  transport: transport.url
    ? { type: 'http', url: transport.url, headers: transport.token ? { Authorization: `Bearer ${transport.token}` } : {} }
    : new StdioTransport({ command: transport.command, args: transport.args }),
});
try {
  const tools = await client.tools();
  const result = await generateText({
    model,
    tools,
    stopWhen: isStepCount(script.length + 1),
    system: client.instructions,
    prompt: `What carries the service ${service}?`,
  });
  const results = result.steps.flatMap((step) => step.toolResults.map(({ toolName, output }) => ({ toolName, output })));
  console.log(
    JSON.stringify({
      server: client.serverInfo,
      protocol: client.initializeResult.protocolVersion,
      instructions: client.instructions,
      offered: offered[0],
      steps: result.steps.length,
      results,
      read: JSON.parse(result.text),
    }),
  );
} finally {
  await client.close();
}
