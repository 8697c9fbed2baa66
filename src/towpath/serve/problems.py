"""Errors as clients see them: OpenAI's shape, ``{"error": {message, type, param, code}}``.

Whatever goes wrong, in our code, in the request's JSON or in routing, leaves through here.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class ErrorFacts(BaseModel):
    """What went wrong."""

    message: str
    """What happened, what was expected, what to do."""
    type: str
    """Kind of error, by its status."""
    param: str | None
    """The field that was wrong."""
    code: str | None
    """A short name for programs."""


class ErrorBody(BaseModel):
    """Body of every response that is no answer."""

    error: ErrorFacts


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "The request cannot be answered as it is."},
    "5XX": {"model": ErrorBody, "description": "The server cannot answer it now."},
}
"""How the API's description documents errors."""


class ApiError(Exception):
    """A request that gets no answer: what happened, what was expected, what to do."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.retry_seconds = retry_seconds

    def body(self) -> dict[str, Any]:
        """The JSON that the client gets."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The response that the client gets."""
        headers = {"Retry-After": str(self.retry_seconds)} if self.retry_seconds is not None else {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body(), self.status, headers)


def of_validation(error: RequestValidationError) -> ApiError:
    """The first wrong field of a request; the types that it may have are joined by "or"."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "")
        return ApiError(
            400, f"The body is not valid JSON: {reason} at character {first['loc'][-1]}.", code="bad_json"
        )
    where = _param(first["loc"])
    if where is None and first["type"] in _NOT_AN_OBJECT:
        return ApiError(
            400,
            "The body must be a JSON object, sent with the header Content-Type: application/json.",
            code="bad_json",
        )
    texts = dict.fromkeys(item["msg"] for item in error.errors() if _param(item["loc"]) == where)
    message = " or ".join(texts)
    return ApiError(400, f"{where}: {message}" if where else message, param=where, code=first["type"])


_NOT_AN_OBJECT = {"missing", "model_attributes_type", "model_type", "dict_type"}
_UNION_TAGS = {"str", "int", "float", "bool"}


def _param(location: tuple[int | str, ...]) -> str | None:
    """``("body", "messages", 0, "content", "str")`` → ``messages.0.content``: union tags are left out."""
    inside = [str(part) for part in location[1:]]
    shown = [part for part in inside if part.isdigit() or (part.isidentifier() and part not in _UNION_TAGS)]
    return ".".join(shown) or None


def install(app: FastAPI) -> None:
    """Make ``app`` answer refused requests in this shape; ``guard.Labels`` answers faults of the server."""

    @app.exception_handler(ApiError)
    async def _api(request: Request, error: ApiError) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> JSONResponse:
        return of_validation(error).response()

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        method, path = request.method, request.url.path
        known = {
            400: ApiError(400, "The body is not valid JSON in UTF-8.", code="bad_json"),
            404: ApiError(404, f"There is nothing at {path}. GET /v1/models is a start.", code="not_found"),
            405: ApiError(405, f"{path} does not take {method}.", code="method_not_allowed"),
        }
        problem = known.get(error.status_code) or ApiError(error.status_code, str(error.detail))
        response = problem.response()
        response.headers.update(error.headers or {})
        return response
