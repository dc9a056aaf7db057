"""Opening a bucket with the credentials, region and endpoint that boto3 would find: AWS_*, or a profile in ~/.aws."""

import os
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obstore.store import S3Store

from pipelines.errors import SourceError

if TYPE_CHECKING:
    from obstore.store import ClientConfig

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
OF_A_POD = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
FILES = (("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), ("AWS_CONFIG_FILE", "~/.aws/config"))


def from_profile() -> bool:
    """Whether boto3 would look for the credentials in a profile, and not in the environment or at a pod's side."""
    if "AWS_ACCESS_KEY_ID" in os.environ:
        return False
    if "AWS_PROFILE" in os.environ:
        return True
    files = [Path(os.environ.get(variable, file)).expanduser() for variable, file in FILES]
    # A file of settings alone has no credentials to speak of.
    there = [file for file in files[: 1 if find_spec("boto3") is None else 2] if file.is_file()]
    return bool(there) and not any(name in os.environ for name in OF_A_POD)


def profile() -> tuple[dict[str, Any], str | None]:
    """Arguments of S3Store for the credentials and region of a profile, and its endpoint. Raises SourceError."""
    if find_spec("boto3") is None:
        raise SourceError(
            "source.path: the credentials of S3 are a profile's (AWS_PROFILE or ~/.aws), which boto3 reads, and it is not "
            "there: pip install 'counterpoise[aws]', or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    import boto3
    from botocore.exceptions import BotoCoreError
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        session = boto3.Session()
        if session.get_credentials() is None:  # those of a machine or a pod are the client's own to find
            return {}, None
        endpoint = session.client("s3", region_name=session.region_name or "us-east-1").meta.endpoint_url
        options: dict[str, Any] = {"credential_provider": Boto3CredentialProvider(session)}
        if session.region_name:
            options["region"] = session.region_name
    except (BotoCoreError, ValueError) as error:
        raise SourceError(f"source.path: no credentials of S3 ({error}); check AWS_PROFILE and ~/.aws") from None
    return options, None if endpoint.endswith((".amazonaws.com", ".amazonaws.com.cn")) else endpoint


def open_bucket(bucket: str, prefix: str) -> S3Store:
    """A prefix of a bucket, addressed by path. Raises SourceError."""
    options, endpoint = profile() if from_profile() else ({}, None)
    endpoint = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), endpoint)
    client: ClientConfig = {}
    if endpoint:
        options["endpoint"] = endpoint
        if endpoint.startswith("http://"):  # whoever names it so means it
            client["allow_http"] = True
    # The prefix by its parts: in a URL, %2e%2e would lead out of it.
    return S3Store(
        bucket,
        prefix=prefix or None,
        client_options=client or None,
        retry_config={"retry_timeout": timedelta(seconds=10)},
        **options,
    )
