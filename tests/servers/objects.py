"""What tests do with the objects of a store, whichever it is."""

from __future__ import annotations

from datetime import timedelta


class Objects:
    """A server of objects; subclasses have `family`, `fields(bucket)`, `wrong()` and `scheme`."""

    def store(self, bucket):
        """Return a client with the owner's key and short timeouts."""
        from obstore.store import AzureStore, GCSStore, S3Store

        fields = {**self.fields(), "client_options": {"allow_http": True, "timeout": "20s"}}
        retry = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}
        if self.family == "s3":
            return S3Store(bucket, region="us-east-1", retry_config=retry, **fields)
        if self.family == "gcs":
            return GCSStore(bucket, base_url=fields.pop("endpoint"), retry_config=retry, **fields)
        return AzureStore(bucket, account_name=fields.pop("account"), retry_config=retry, **fields)

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Write an object."""
        self.store(bucket).put(key, content)

    def get(self, bucket: str, key: str) -> bytes:
        """Return the bytes of an object."""
        return bytes(self.store(bucket).get(key).bytes())

    def keys(self, bucket: str) -> list[str]:
        """Return the names of all objects, sorted."""
        return sorted(meta["path"] for chunk in self.store(bucket).list() for meta in chunk)

    def secrets(self) -> list[str]:
        """Return the secrets that must never be shown."""
        names = ("access_key_id", "secret_access_key", "account_key")
        return [str(value) for name, value in self.fields().items() if name in names]
