"""The routes of the API: a plain function runs in the pool of what it may wait for; JSON that cannot be read is a 422."""

import inspect
import json
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from service.api.dependencies import AppContext, AppContextWithStore


def pooled(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The endpoint as a coroutine: with a StoreContext it runs in the store's threads, otherwise in the database's."""
    if inspect.iscoroutinefunction(endpoint):
        return endpoint

    @wraps(endpoint)
    async def run(**values: Any) -> Any:
        context = next((value for value in values.values() if isinstance(value, AppContext)), None)
        if context is None:  # it waits for nothing
            return endpoint(**values)
        pool = context.pools.store if isinstance(context, AppContextWithStore) else context.pools.database
        return await pool.run(endpoint, **values)

    return run


class JsonRequest(Request):
    async def json(self) -> Any:
        """Raises JSONDecodeError, which is answered by 422, for what Python's parser refuses in other ways, too."""
        body = await self.body()
        try:
            return json.loads(body)
        except json.JSONDecodeError:
            raise
        except RecursionError:
            raise json.JSONDecodeError("nested too deep", "", 0) from None
        except ValueError as error:  # not UTF-8, or a number of thousands of digits
            reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else "a number has too many digits"
            raise json.JSONDecodeError(reason, "", 0) from None


class Route(APIRoute):
    """What every router of the API is made with: `APIRouter(route_class=Route)`."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, pooled(endpoint), **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(JsonRequest(request.scope, request.receive))

        return handle_json
