"""The CPU reference backend: scheduler, paged KV cache, executor, OpenAI API."""
