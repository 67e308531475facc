"""Doubles of vLLM servers: what a recent and an older release offer, by their names and labels."""

from typing import Any

from midwatch_mcp.testing.backend import BackendDouble

RECENT = "0.33.0"
OLDER = "0.6.3"


def recent_vllm(*, model: str = "llama", adapters: tuple[str, ...] = (), **cache: str) -> BackendDouble:
    """Return vLLM 0.33: an engine label, `kv_cache_usage_perc`, and the cache's settings as labels; `cache` differs."""
    settings = {"block_size": "16", "cache_dtype": "auto", "enable_prefix_caching": "True", "num_gpu_blocks": "27904"}
    settings |= {"gpu_memory_utilization": "0.92", "num_gpu_blocks_override": "None", **cache}
    labels = ",".join(f'{name}="{value}"' for name, value in settings.items())
    one = f'{{engine="0",model_name="{model}"}}'
    text = f"""# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{one} 7.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{one} 2.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{one} 0.41
# TYPE vllm:num_preemptions counter
vllm:num_preemptions_total{one} 3.0
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{{{labels},engine="0"}} 1.0
"""
    return _vllm(model, adapters, text, RECENT)


def older_vllm(*, model: str = "llama") -> BackendDouble:
    """Return vLLM 0.6: no engine label, `gpu_cache_usage_perc`, requests that are swapped, no cache settings."""
    one = f'{{model_name="{model}"}}'
    text = f"""# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{one} 5.0
vllm:num_requests_swapped{one} 0.0
vllm:num_requests_waiting{one} 1.0
vllm:gpu_cache_usage_perc{one} 0.2
vllm:cpu_cache_usage_perc{one} 0.0
"""
    return _vllm(model, (), text, OLDER)


def _vllm(model: str, adapters: tuple[str, ...], text: str, version: str) -> BackendDouble:
    models: list[dict[str, Any]] = [{"id": model, "root": model, "parent": None, "max_model_len": 32768}]
    models += [{"id": name, "root": f"/adapters/{name}", "parent": model} for name in adapters]
    return BackendDouble(configurable=False, model=model, models=models, exposition=text, told_version=version)
