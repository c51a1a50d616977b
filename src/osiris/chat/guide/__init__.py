"""The guide: a pipeline from choices, without a model. It asks, and the answers become a `chat.request.Request`."""
