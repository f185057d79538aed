"""llama-server's own pages, as the mock engine shows them when it is dressed as one."""

import msgspec


def encode_slots(*, slots: int, context_tokens: int, running: int) -> bytes:
    """`/slots`: one entry for each request that could run at once."""
    return msgspec.json.encode(
        [
            {"id": index, "n_ctx": context_tokens, "is_processing": index < running}
            for index in range(slots)
        ]
    )


def encode_props(*, slots: int, context_tokens: int) -> bytes:
    """`/props`: what the server was started with."""
    return msgspec.json.encode(
        {
            "total_slots": slots,
            "default_generation_settings": {"n_ctx": context_tokens},
            "modalities": {"vision": False},
            "chat_template_caps": {"supports_tools": True},
            "build_info": "mock",
        }
    )


def encode_metrics(*, running: int, waiting: int) -> bytes:
    """`/metrics`: load, in Prometheus text. Like recent builds, without the cache's use."""
    return (
        "# TYPE llamacpp:requests_processing gauge\n"
        f"llamacpp:requests_processing {running}\n"
        "# TYPE llamacpp:requests_deferred gauge\n"
        f"llamacpp:requests_deferred {waiting}\n"
    ).encode()
