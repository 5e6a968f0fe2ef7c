"""Asks each question once, with a limited number of calls and refusals.

A refusal counts toward Exact's error limit (API 2.3). Each query has properties, such as its endpoint or an
option. A refusal is attributed to the most likely property that was not accepted before, and later questions
with that property are skipped. After two refusals a question is asked only if all of its properties were
accepted before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import httpx

from ..client.call import Call
from ..client.client import ExactClient
from ..engine.connection import rights_name
from ..errors import ContractError, LimitError, RefusedError, StreamError
from ..odata.query import build_url, check_next
from .answers import OK, Answer, Answers
from .checks import UnmeasuredError

MOST_CALLS, MOST_REFUSALS = 80, 2
COUNTED = frozenset({400, 401, 403, 404})
FORBIDDEN = frozenset({401, 403, 404})
RIGHTS = "users/UserHasRights"
ME = "current/Me"
# Filters that every row passes, the safest first; "" means no filter.
ANY_ROW = (
    "Modified ge datetime'1900-01-01T00:00:00'",
    "ID ne guid'00000000-0000-0000-0000-000000000000'",
    "",
)
# Properties to which a refusal is attributed, the most likely first.
SUSPECTS = ("without ", "filter ", "$orderby ", "$inlinecount ", "$count ", "$top ", "parameters ")
Query = Mapping[str, str] | Callable[[Answers], Mapping[str, str]]


@dataclass(frozen=True)
class Question:
    """One call.

    Attributes:
        name: Name under which checks look up the answer.
        path: Endpoint.
        query: Query options, or a function that makes them from earlier answers.
        any_row: Whether to add one of ``ANY_ROW`` as ``$filter``.
        tail: ``$count`` or ``$metadata``, appended to the path.
        follows: Question whose next link is requested instead of ``path``.
        unless: Question whose answer makes this one unnecessary.
    """

    name: str
    path: str
    query: Query = ()  # type: ignore[assignment]
    any_row: bool = False
    tail: str = ""
    follows: str = ""
    unless: str = ""


class Asking:
    """The questions of one verification.

    Args:
        client: Sends the calls; its transport shows each reply to ``observe``.
        answers: Collects the answers.

    Attributes:
        calls: Number of calls so far, with repeated ones.
        refusals: Number of replies that count toward Exact's error limit.
    """

    def __init__(self, client: ExactClient, answers: Answers) -> None:
        self.answers = answers
        self.calls = 0
        self.refusals = 0
        self._client = client
        self._replies: list[httpx.Response] = []

    def observe(self, _request: httpx.Request, response: httpx.Response) -> None:
        """Record a reply."""
        self._replies.append(response)
        self.refusals += response.status_code in COUNTED

    async def ask(self, question: Question) -> None:
        """Ask a question, unless it is unnecessary or known to be refused.

        Raises:
            LimitError: If no call is left.
            AuthenticationError: If a person must log in again.
        """
        answers = self.answers
        if question.unless and answers.has(question.unless):
            answers.lack(question.name, "there was no need to ask")
            return
        try:
            for query in self._queries(question):
                if await self._send(question, query):
                    return
        except UnmeasuredError as error:
            answers.lack(question.name, str(error))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            answers.lack(question.name, "an earlier answer has a form that is not known")

    def _queries(self, question: Question) -> Iterator[Mapping[str, str]]:
        """The query, once with each filter that was not refused."""
        query = question.query
        made = dict(query(self.answers) if callable(query) else query or {})
        if not question.any_row:
            yield made
            return
        for text in ANY_ROW:
            if _filter_property(question.path, text) not in self.answers.refused:
                yield {**made, "$filter": text} if text else made

    async def _send(self, question: Question, query: Mapping[str, str]) -> bool:
        """Send a query; returns whether no other filter needs to be tried."""
        answers, properties = self.answers, list(properties_of(question, query))
        known = next((p for p in properties if p in answers.refused), None)
        if known is not None:
            answers.lack(question.name, f"refused with {answers.refused[known]}: {known}")
            return True
        if self.refusals >= MOST_REFUSALS and not answers.accepted.issuperset(properties):
            answers.lack(question.name, "not asked after two refusals")
            return True
        answer = await self._call(question, self._url(question, query))
        if answer is None:
            return True
        answers.take(question.name, answer)
        if answer.status == OK:
            answers.accept(properties)
            return True
        blamed = self._blame(answer.status, properties)
        answers.refuse(blamed, answer.status)
        return not (question.any_row and blamed.startswith("filter "))

    def _blame(self, status: int, properties: list[str]) -> str:
        """The property to which a refusal is attributed."""
        new = [p for p in properties if p not in self.answers.accepted] or properties
        if status not in FORBIDDEN:
            for start in SUSPECTS:
                if found := [p for p in new if p.startswith(start)]:
                    return found[0]
        return new[0]

    def _url(self, question: Question, query: Mapping[str, str]) -> str:
        if question.follows:
            return self._next_url(question)
        tail = f"/{question.tail}" if question.tail else ""
        path = f"{question.path}{tail}".removeprefix("/")
        return build_url(path, self.answers.division, query)

    def _next_url(self, question: Question) -> str:
        answers = self.answers
        link = answers[question.follows].next
        if link is None:
            raise UnmeasuredError(f"{question.path} has too few rows for a second page")
        try:
            return check_next(link, answers.site, question.path, answers.division)
        except ContractError:
            raise UnmeasuredError("the next link leads elsewhere and was not followed") from None

    async def _call(self, question: Question, url: str) -> Answer | None:
        division = None if question.path == ME else self.answers.division
        target = Call(
            division,
            question.path,
            question.name,
            before_call=self._before_call,
            is_billed=question.path != RIGHTS,
        )
        self._replies.clear()
        try:
            await self._client.get(target, url, bytes)
        except RefusedError:
            pass  # the reply was recorded, unless the client did not send the call
        except StreamError as error:
            self.answers.lack(question.name, f"no usable answer ({error.code})")
            return None
        finally:
            self.calls += target.calls
        if not self._replies:
            self.answers.lack(question.name, "not asked, as Exact refused too often")
            return None
        last = self._replies[-1]
        headers = {name.lower(): text for name, text in last.headers.items()}
        return Answer(question.path, last.status_code, headers, last.content)

    def _before_call(self, target: Call) -> None:
        if self.calls + target.calls >= MOST_CALLS:
            now = self._client.clock.now()
            raise LimitError(
                f"all {MOST_CALLS} calls of a verification are used up", resumes_at=now
            )


def properties_of(question: Question, query: Mapping[str, str]) -> Iterator[str]:
    """The properties of a query that may be refused, the endpoint first."""
    path = question.path
    if question.tail == "$metadata":
        yield f"$metadata of {'one service' if path else 'all services'}"
        return
    yield path
    if question.tail:
        yield f"$count of {path}"
    if question.follows:
        return
    yield from (p for name, text in query.items() if (p := _property_of(path, name, text)))
    is_list = not question.tail and path.partition("/")[0] not in {"users", "read", "current"}
    if is_list and "$select" not in query:
        yield f"without $select of {path}"
    if is_list and "$filter" not in query:
        yield f"without $filter of {path}"


def _property_of(path: str, name: str, text: str) -> str | None:
    """The property of an option that may be refused."""
    if name == "$filter":
        return _filter_property(path, text)
    if name in {"$orderby", "$inlinecount", "$top"}:
        return f"{name} of {path}"
    is_parameter = not name.startswith("$") and path != RIGHTS
    return f"parameters of {path}" if is_parameter else None


def _filter_property(path: str, text: str) -> str:
    """Such as ``filter Modified ge of bulk feeds``; of the values only 0 is distinguished."""
    first, words = path.split("/", 1)[0], text.split(" ")[:2]
    kind = first if first in {"sync", "bulk"} else "regular"
    zero = " 0" if text.endswith(" 0L") else ""
    return (
        f"filter {' '.join(words)}{zero} of {kind} feeds" if text else f"without $filter of {path}"
    )


def may_read(answers: Answers, names: Iterable[str]) -> bool | None:
    """The combined ``UserHasRights`` answer to several questions; ``None`` if unknown."""
    said = [right_of(answers, name) for name in names]
    if any(said):
        return True
    return None if None in said else False


def right_of(answers: Answers, name: str) -> bool | None:
    """The ``UserHasRights`` answer; ``None`` if not asked or of an unknown form."""
    if not answers.has(name):
        return None
    try:
        content = answers[name].content
    except UnmeasuredError:
        return None
    value = content.get("UserHasRights") if isinstance(content, dict) else content
    return value if isinstance(value, bool) else None


def rights_question(name: str, path: str, *, as_path: bool = False) -> Question:
    """Asks whether the user may read an endpoint; Exact does not count this call (API 2.1)."""
    asked = path if as_path else rights_name(path)
    return Question(name, RIGHTS, {"endpoint": f"'{asked}'", "action": "'GET'"})
