"""LLM's own chain as in `chain`, but with one HTTP client kept, where LLM makes one for each request."""

from chain import main


def keep_client(model):
    """Let the model use the same client for all its requests."""
    client = model.get_client(None)
    model.get_client = lambda *_, **__: client
    return model


if __name__ == "__main__":
    main(keep_client)
