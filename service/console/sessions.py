"""Sessions of the console: a signed cookie that names an API key by its id, and when it ends. No table holds them.

A session is as good as its key: once that is revoked or has expired, so has every session of it. A visitor who has not
signed in has one, too, of no key, so that the form to sign in has a token against forgery as every other.
"""

import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response

from pipelines.store.object_store import Patience, Store
from service.settings import Settings
from service.state import api_keys
from service.state.api_keys import Caller
from service.state.database import Database

COOKIE = "console_session"
PATH = "/console"
LIFETIME = 12 * 3600  # seconds
NOBODY = 0  # in place of a key's id
SECRET = ".console-secret"  # key in the object store, above all tenants, none of whose names begins with a dot


@dataclass(frozen=True, slots=True)
class Session:
    token: str  # as in the cookie: key id, end, random part, signature
    key: int  # id of the API key, or NOBODY
    csrf: str  # what every form of the session's pages sends along


@dataclass(slots=True)
class Sessions:
    """Signs sessions and reads them. The secret lies in the object store, where every API process has it."""

    store: str  # URL of the object store
    secret: bytes = b""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def load(self, patience: Patience) -> None:
        """Fetch the secret, which the first process makes. Whoever can read the database alone can sign nothing."""
        with self.lock:
            if not self.secret:
                store = Store.open(self.store, patience)
                self.secret = store.put_first(SECRET, secrets.token_hex(32).encode())

    def sign(self, purpose: str, text: str) -> str:
        return hmac.new(self.secret, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()

    def begin(self, key: int) -> Session:
        """A new session of a key."""
        content = f"{key}.{int(time.time()) + LIFETIME}.{secrets.token_hex(8)}"
        return self.session(f"{content}.{self.sign('session', content)}", key)

    def session(self, token: str, key: int) -> Session:
        return Session(token, key, self.sign("csrf", token))

    def read(self, headers: Headers) -> Session | None:
        """The session of a request; None if it has none, or one that was not signed here or has ended."""
        token = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        content, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self.sign("session", content).encode()):
            return None
        key, end, _ = content.split(".")
        return self.session(token, int(key)) if int(end) > time.time() else None


def caller_of(session: Session | None, database: Database, settings: Settings) -> Caller | None:
    """Who is signed in; None: nobody. Where no key is needed, everybody is who has a session."""
    if session is None:
        return None
    if not settings.auth:
        return Caller("default", api_keys.SCOPES)
    return api_keys.find(database, session.key) if session.key != NOBODY else None


def attach(response: Response, session: Session, *, secure: bool) -> None:
    """Send a session to the browser: no script can read it, and no other site's page makes the browser send it."""
    response.set_cookie(COOKIE, session.token, max_age=LIFETIME, path=PATH, secure=secure, httponly=True, samesite="strict")
