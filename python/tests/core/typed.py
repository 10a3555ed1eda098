"""A program that mypy and pyright check, strictly. It is not run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import shiftkey
from shiftkey import aio


def credentials() -> tuple[str, int]:
    session = shiftkey.Session(profile="prod", duration=timedelta(hours=1), mfa_code=input)
    try:
        credential: shiftkey.Credential = session.credential("prod/analytics", groups=["analysts"], ca_file=Path("ca.pem"))
    except (shiftkey.IdentityError, shiftkey.DeniedError) as error:
        raise SystemExit(error.hint or error.message) from error
    password: str = credential.db_password
    assert credential.expiration.tzinfo is not None
    return password, credential.port


async def asynchronous() -> str:
    credential = await aio.credential("prod/analytics", db_user="etl", port=None)
    also = await shiftkey.Session().acredential("prod/analytics")
    return credential.host + also.host + shiftkey.url("prod/analytics", "uri")
