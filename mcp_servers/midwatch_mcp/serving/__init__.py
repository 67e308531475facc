"""The serving server, over the reference backend and vLLM, by what the endpoint offers."""
