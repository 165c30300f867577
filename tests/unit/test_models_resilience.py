"""What keeps a failing model from failing answers: breaker, places, retries, deadlines; on a clock that nobody waits for."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import gc
import random
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any, TypeVar

import pytest

from app.domain.errors import (
    ConfigurationError,
    FootnoteError,
    ModelBusyError,
    ModelDownError,
    ModelRefusedError,
    ModelTimeoutError,
)
from app.domain.models import ChatEvent, ChatRequest, Delta, Finished, Message, ModelSpec
from app.inference.chat.backend import Backend, Endpoint
from app.inference.chat.breaker import Breaker, BreakerPolicy
from app.inference.chat.catalogue import Conduct, DeclaredEndpoint, DeclaredModel
from app.inference.chat.fleet import Fleet
from app.inference.chat.places import Places
from app.inference.chat.resilient import ResilientModel

T = TypeVar("T")
REQUEST = ChatRequest(messages=(Message(role="user", text="who?"),), max_tokens=10)
POLICY = BreakerPolicy(failures=3, window=20, least_calls=10, cool_seconds=5.0, growth=2.0, longest_seconds=30.0)


class VirtualSelector(selectors.DefaultSelector):
    """Moves the clock where a real one would wait."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everything waits for what never comes")
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose seconds pass at once."""

    def __init__(self) -> None:
        self.selector = VirtualSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run on virtual time; nothing may be left over, and nothing may go wrong unseen."""
    loop = VirtualLoop()
    unseen: list[Any] = []
    loop.set_exception_handler(lambda _, context: unseen.append(context))
    try:
        result = loop.run_until_complete(work())
        loop.run_until_complete(asyncio.sleep(0))
        assert [task for task in asyncio.all_tasks(loop) if not task.done()] == []
        gc.collect()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    assert unseen == []
    return result


def now() -> float:
    return asyncio.get_running_loop().time()


Step = str | float | Exception  # a piece, a pause in seconds, an error


@dataclasses.dataclass
class FakeBackend:
    """A model's server that does as `plan` says: text, a pause in seconds, an error; and counts what is open."""

    plan: Callable[[int], list[Step]]  # of the n-th call
    calls: list[float] = dataclasses.field(default_factory=list)  # when each came
    open: int = 0
    most: int = 0
    closed: int = 0
    finishes: bool = True

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        del request
        self.calls.append(now())
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            for step in self.plan(len(self.calls) - 1):
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, str):
                    yield Delta(text=step)
                else:
                    await asyncio.sleep(step)
            if self.finishes:
                yield Finished(reason="stop", usage=None)
        finally:
            self.open -= 1

    async def close(self) -> None:
        self.closed += 1


def always(*steps: Step) -> FakeBackend:
    return FakeBackend(lambda _: list(steps))


def in_turn(*plans: list[Step]) -> FakeBackend:
    """These calls, then the last again and again."""
    return FakeBackend(lambda number: plans[min(number, len(plans) - 1)])


def declared(
    *urls: str, conduct: Conduct | None = None, weights: Mapping[str, float] | None = None, **parts: Any
) -> DeclaredModel:
    spec = ModelSpec(**({"name": "m", "provider": "openai_compatible", "model": "tiny"} | parts))
    endpoints = [
        Endpoint(provider=spec.provider, model=spec.model, base_url=f"http://{url}", api_key="sekret") for url in urls
    ]
    return DeclaredModel(
        spec=spec,
        endpoints=tuple(
            DeclaredEndpoint(endpoint=each, weight=(weights or {}).get(url, 1.0))
            for url, each in zip(urls, endpoints, strict=True)
        ),
        conduct=conduct or Conduct(),
    )


def fleet_of(backends: Mapping[str, FakeBackend], *models: DeclaredModel) -> Fleet:
    async def opening(endpoint: Endpoint) -> Backend:
        await asyncio.sleep(0)
        return backends[str(endpoint.base_url).removeprefix("http://")]

    return Fleet(models, opening=opening, clock=now, rng=random.Random(1), policy=POLICY)


def model_of(backends: Mapping[str, FakeBackend], **parts: Any) -> ResilientModel:
    return fleet_of(backends, declared(*backends, **parts)).all()[0]


async def said(model: ResilientModel, deadline_seconds: float = 60.0) -> str:
    events = [event async for event in model.stream(REQUEST, deadline_seconds=deadline_seconds)]
    assert isinstance(events[-1], Finished)
    return "".join(event.text for event in events if isinstance(event, Delta))


async def failure(model: ResilientModel, deadline_seconds: float = 60.0) -> FootnoteError:
    with pytest.raises(FootnoteError) as caught:
        await said(model, deadline_seconds)
    return caught.value


@dataclasses.dataclass
class Hands:
    """A clock that a test moves."""

    time: float = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Hands:
    return Hands()


def breaker_at(clock: Hands) -> Breaker:
    return Breaker(POLICY, clock=clock, rng=random.Random(1))


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        token = breaker.enter()
        assert token is not None
        breaker.failed(token)


def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_probe_through_after_the_cool_down(clock: Hands) -> None:
    breaker = breaker_at(clock)
    fail(breaker, 2)
    assert breaker.admits

    fail(breaker, 1)

    assert (breaker.state, breaker.enter()) == ("open", None)
    clock.time += 5.6
    assert (breaker.state, breaker.admits) == ("half_open", True)
    probe = breaker.enter()
    assert probe is not None
    assert breaker.enter() is None
    breaker.succeeded(probe)
    assert (breaker.state, breaker.opens_in_seconds) == ("closed", 0)


def test_each_probe_that_fails_makes_the_cool_down_longer_up_to_a_limit(clock: Hands) -> None:
    breaker = breaker_at(clock)
    fail(breaker, 3)
    waits = []
    for _ in range(5):
        waits.append(breaker.opens_in_seconds)
        clock.time += breaker.opens_in_seconds
        fail(breaker, 1)

    assert [least <= wait <= least * 1.1 for least, wait in zip([5, 10, 20, 30, 30], waits, strict=True)] == [True] * 5

    clock.time += breaker.opens_in_seconds
    probe = breaker.enter()
    assert probe is not None
    breaker.succeeded(probe)
    fail(breaker, 3)
    assert 5 <= breaker.opens_in_seconds <= 5.5


def test_a_breaker_opens_by_the_share_of_failures_though_none_follow_each_other(clock: Hands) -> None:
    breaker = breaker_at(clock)
    for _ in range(5):
        token = breaker.enter()
        assert token is not None
        breaker.succeeded(token)
        fail(breaker, 1)

    assert breaker.state == "open"


def test_what_began_before_the_breaker_opened_neither_closes_nor_prolongs_it(clock: Hands) -> None:
    breaker = breaker_at(clock)
    early, other = breaker.enter(), breaker.enter()
    assert early is not None
    assert other is not None
    fail(breaker, 3)
    before = breaker.opens_in_seconds

    breaker.succeeded(early)
    breaker.failed(other)

    assert (breaker.state, breaker.opens_in_seconds) == ("open", before)


def test_a_probe_that_is_left_makes_room_for_the_next(clock: Hands) -> None:
    breaker = breaker_at(clock)
    fail(breaker, 3)
    clock.time += 6
    probe = breaker.enter()
    assert probe is not None

    breaker.left(probe)

    assert breaker.state == "half_open"
    assert breaker.enter() is not None


def test_the_last_event_names_the_endpoint_that_answered() -> None:
    async def work() -> ChatEvent:
        model = model_of({"a": always("hel", "", "lo")})
        events = [event async for event in model.stream(REQUEST, deadline_seconds=5)]
        assert events[:-1] == [Delta(text="hel"), Delta(text="lo")]
        return events[-1]

    assert run(work) == Finished(reason="stop", usage=None, endpoint="http://a")


@pytest.mark.parametrize(("pause_seconds", "most"), [(0, 1), (1, 3), (40, 30)])
def test_of_two_endpoints_one_dead_every_call_is_answered_and_the_dead_one_is_seldom_asked(
    pause_seconds: float, most: int
) -> None:
    dead, alive = always(ModelDownError("refused")), always("yes")

    async def work() -> None:
        model = model_of({"dead": dead, "alive": alive})
        for _ in range(50):
            began = now()
            assert await said(model) == "yes"
            assert now() == began
            assert model.state.available
            await asyncio.sleep(pause_seconds)

    run(work)
    assert len(alive.calls) == 50
    assert 1 <= len(dead.calls) <= most


def test_under_load_the_dead_one_of_two_endpoints_is_left_alone() -> None:
    dead, alive = always(0.1, ModelDownError("refused")), always(1.0, "yes")

    async def work() -> None:
        model = model_of({"dead": dead, "alive": alive}, concurrency=20, queue=500)
        assert await asyncio.gather(*(said(model) for _ in range(200))) == ["yes"] * 200
        assert [each.breaker for each in model.state.endpoints] == ["open", "closed"]

    run(work)
    assert len(dead.calls) <= 20


def test_an_endpoint_that_is_well_again_gets_calls_again() -> None:
    down = ModelDownError("refused")
    ill, well = in_turn([down], [down], [down], ["back"]), always("yes")

    async def work() -> list[str]:
        model = model_of({"ill": ill, "well": well})
        for _ in range(20):
            await said(model)
            await asyncio.sleep(31)
        assert len(ill.calls) >= 3
        return [await said(model) for _ in range(20)]

    assert set(run(work)) == {"back", "yes"}


def test_another_endpoint_is_tried_at_once_and_the_same_one_after_a_pause() -> None:
    down = ModelDownError("refused")

    async def one() -> float:
        began = now()
        assert await said(model_of({"a": in_turn([down], ["yes"])})) == "yes"
        return now() - began

    async def two() -> float:
        began = now()
        model = model_of({"a": always(down), "b": always("yes")})
        assert {await said(model) for _ in range(4)} == {"yes"}
        return now() - began

    assert 0 < run(one) <= 0.5
    assert run(two) == 0


def test_tries_are_bounded_and_the_error_is_the_endpoints_own() -> None:
    backend = always(ModelDownError("the disk is gone"))

    async def work() -> FootnoteError:
        return await failure(model_of({"a": backend}))

    assert str(run(work)) == "the disk is gone"
    assert len(backend.calls) == 3


def test_an_endpoint_that_can_not_be_opened_leaves_the_call_to_another() -> None:
    async def opening(endpoint: Endpoint) -> Backend:
        if endpoint.base_url == "http://a":
            raise ConfigurationError("no such option")
        return always("yes")

    async def work() -> None:
        fleet = Fleet([declared("a", "b")], opening=opening, clock=now, rng=random.Random(1), policy=POLICY)
        assert [await said(fleet.all()[0]) for _ in range(6)] == ["yes"] * 6
        assert {each.last_error for each in fleet.all()[0].state.endpoints} == {"no such option", None}

    run(work)


def test_a_refusal_is_not_tried_again_and_says_nothing_of_the_endpoint() -> None:
    backend = always(ModelRefusedError("too long", code="context_too_long"))

    async def work() -> str:
        model = model_of({"a": backend})
        for _ in range(30):
            assert (await failure(model)).code == "context_too_long"
        return model.state.endpoints[0].breaker

    assert run(work) == "closed"
    assert len(backend.calls) == 30


def test_a_wrong_key_opens_the_breaker() -> None:
    backend = always(ModelRefusedError("no such key: sekret!", code="model_unauthorized"))

    async def work() -> tuple[str, str | None]:
        model = model_of({"a": backend})
        errors = [await failure(model) for _ in range(5)]
        codes = [each.code for each in errors]
        assert codes == ["model_unauthorized"] * 3 + ["model_down"] * 2
        assert "sekret" not in "".join(str(each) for each in errors)
        state = model.state
        assert not state.available
        assert "tried again in" in str(state.why_not)
        return state.endpoints[0].breaker, state.endpoints[0].last_error

    assert run(work) == ("open", "model_unauthorized: no such key: ***!")


def test_what_breaks_off_after_the_first_piece_is_not_tried_again() -> None:
    cut, silent = always("be", ModelDownError("cut")), FakeBackend(lambda _: ["be"], finishes=False)

    async def work() -> None:
        for backend in (cut, silent):
            stream = model_of({"a": backend, "b": backend}).stream(REQUEST, deadline_seconds=9)
            assert await anext(stream) == Delta(text="be")
            with pytest.raises(ModelDownError):
                await anext(stream)

    run(work)
    assert len(cut.calls) == len(silent.calls) == 1


def test_a_backend_that_fails_as_it_should_not_is_a_model_that_is_down() -> None:
    async def work() -> FootnoteError:
        return await failure(model_of({"a": always(KeyError("choices"))}))

    error = run(work)
    assert isinstance(error, ModelDownError)
    assert error.message == "the model tiny failed: KeyError"


def test_retry_after_is_respected_by_the_call_that_heard_it_and_by_those_after_it() -> None:
    backend = in_turn([ModelBusyError("429", retry_after_seconds=4)], ["yes"])

    async def work() -> None:
        model = model_of({"a": backend})
        began = now()
        first = asyncio.ensure_future(said(model))
        await asyncio.sleep(1)
        state = model.state
        assert not state.available
        assert "takes no calls for 3 s" in str(state.why_not)
        assert [await each for each in (first, said(model), said(model))] == ["yes"] * 3
        assert min(backend.calls[1:]) >= began + 4
        assert now() < began + 6

    run(work)
    assert len(backend.calls) == 4


def test_an_endpoint_that_rests_for_a_moment_is_waited_for_rather_than_one_that_fails() -> None:
    dead, busy = always(ModelDownError("refused")), in_turn([ModelBusyError("429", retry_after_seconds=2)], ["yes"])

    async def work() -> None:
        model = model_of({"dead": dead, "busy": busy})
        assert [await said(model) for _ in range(10)] == ["yes"] * 10

    run(work)
    assert len(dead.calls) == 1


def test_a_provider_that_wants_too_long_a_pause_is_not_waited_for() -> None:
    backend = always(ModelBusyError("429", retry_after_seconds=40))

    async def work() -> None:
        model = model_of({"a": backend})
        for _ in range(2):
            error = await failure(model)
            assert isinstance(error, ModelBusyError)
            assert error.retry_after_seconds == 40
        assert now() == 1000.0
        short = model_of({"a": always(ModelBusyError("429", retry_after_seconds=5))})
        assert isinstance(await failure(short, deadline_seconds=4), ModelBusyError)
        assert now() == 1000.0

    run(work)
    assert len(backend.calls) == 1


def test_a_hanging_server_costs_the_deadline_and_no_more() -> None:
    backend = always(1e6)

    async def work() -> None:
        model = model_of({"a": backend})
        began = now()
        assert isinstance(await failure(model, deadline_seconds=7.5), ModelTimeoutError)
        assert now() - began == pytest.approx(7.5)
        assert backend.open == 0

    run(work)
    assert len(backend.calls) == 1


def test_the_deadline_holds_over_retries_pieces_and_a_stream_that_does_not_close() -> None:
    class Clinging(FakeBackend):
        async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
            try:
                yield Delta(text="a")
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(3)
            yield Finished(reason="stop", usage=None)
            del request

    async def work() -> None:
        slow = model_of({"a": always(4.0, ModelDownError("refused"))})
        began = now()
        await failure(slow, deadline_seconds=10)
        assert now() - began <= 10
        drip: list[Step] = ["piece", 1.0]
        dripping = model_of({"a": always(*drip * 100)})
        began = now()
        assert isinstance(await failure(dripping, deadline_seconds=6), ModelTimeoutError)
        assert now() - began == pytest.approx(6)
        spec_limit = model_of({"a": always(1e6)}, timeout_seconds=5)
        began = now()
        await failure(spec_limit, deadline_seconds=100)
        assert now() - began == pytest.approx(5)
        clinging = model_of({"a": Clinging(lambda _: [])})
        stream = clinging.stream(REQUEST, deadline_seconds=100)
        assert await anext(stream) == Delta(text="a")
        began = now()
        await stream.aclose()  # type: ignore[attr-defined]
        assert now() - began <= 1
        assert clinging.places.taken == 0
        await asyncio.sleep(5)

    run(work)


def test_slow_first_pieces_open_the_breaker_though_the_caller_left_before_the_models_own_limit() -> None:
    async def work() -> str:
        model = model_of({"a": always(1e6)}, first_token_seconds=15)
        for _ in range(3):
            assert isinstance(await failure(model, deadline_seconds=8), ModelTimeoutError)
        return model.state.endpoints[0].breaker

    async def patient() -> str:
        model = model_of({"a": always(1e6)}, first_token_seconds=15)
        for _ in range(20):
            assert isinstance(await failure(model, deadline_seconds=2), ModelTimeoutError)
        return model.state.endpoints[0].breaker

    assert run(work) == "open"
    assert run(patient) == "closed"


def test_no_more_calls_than_the_limit_are_under_way_and_no_more_than_the_queue_wait() -> None:
    backend = always(2.0, "yes")

    async def work() -> None:
        model = model_of({"a": backend}, concurrency=3, queue=4, conduct=Conduct(queue_seconds=10))
        calls = [asyncio.ensure_future(said(model)) for _ in range(7)]
        await asyncio.sleep(1)
        state = model.state
        assert (state.in_flight, state.waiting, state.available) == (3, 4, False)
        error = await failure(model)
        assert isinstance(error, ModelBusyError)
        assert "3 calls are under way and 4 wait" in error.message
        assert error.retry_after_seconds >= 1
        assert await asyncio.gather(*calls) == ["yes"] * 7
        assert (model.state.in_flight, model.state.waiting, model.state.available) == (0, 0, True)

    run(work)
    assert backend.most == 3


def test_who_waits_for_a_place_waits_no_longer_than_the_model_says() -> None:
    async def work() -> None:
        model = model_of({"a": always(30.0, "yes")}, concurrency=1, queue=4, conduct=Conduct(queue_seconds=5))
        first = asyncio.ensure_future(said(model))
        await asyncio.sleep(0)
        began = now()
        assert isinstance(await failure(model), ModelBusyError)
        assert now() - began == pytest.approx(5)
        began = now()
        assert isinstance(await failure(model, deadline_seconds=3), ModelBusyError)
        assert now() - began == pytest.approx(3)
        assert model.state.waiting == 0
        assert await first == "yes"

    run(work)


def test_places_go_to_who_waits_longest_and_are_not_lost_when_that_one_leaves_in_this_moment() -> None:
    async def work() -> list[int]:
        places = Places("m", limit=1, queue=9)
        await places.take(within_seconds=1)
        order: list[int] = []

        async def wait(number: int) -> None:
            await places.take(within_seconds=60)
            order.append(number)
            places.give_back(held_seconds=1)

        waiting = [asyncio.ensure_future(wait(number)) for number in range(4)]
        await asyncio.sleep(0)
        places.give_back(held_seconds=1)  # to the first, which does not live to see it
        waiting[0].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert (places.taken, places.waiting) == (0, 0)
        return order

    assert run(work) == [1, 2, 3]


def test_a_model_that_is_given_more_places_lets_those_in_who_wait() -> None:
    async def work() -> None:
        places = Places("m", limit=1, queue=9)
        await places.take(within_seconds=1)
        waiting = [asyncio.ensure_future(places.take(within_seconds=9)) for _ in range(4)]
        await asyncio.sleep(0)
        places.resize(limit=3, queue=9)
        await asyncio.sleep(0)
        assert (places.taken, places.waiting) == (3, 2)
        places.resize(limit=1, queue=0)
        for _ in range(3):
            places.give_back(held_seconds=1)
        assert (places.taken, places.waiting) == (1, 1)
        for _ in range(2):
            places.give_back(held_seconds=1)
        await asyncio.gather(*waiting)
        assert (places.taken, places.waiting) == (0, 0)

    run(work)


def test_load_goes_to_endpoints_by_their_weight() -> None:
    big, small = always(1.0, "yes"), always(1.0, "yes")

    async def work() -> None:
        model = model_of({"big": big, "small": small}, weights={"big": 3.0}, concurrency=40)
        await asyncio.gather(*(said(model) for _ in range(40)))

    run(work)
    assert big.most == pytest.approx(30, abs=1)
    assert small.most == pytest.approx(10, abs=1)


def test_who_closes_the_stream_ends_the_call_upstream_and_gives_the_place_back() -> None:
    backend = always("a", "b", "c")

    async def work() -> None:
        model = model_of({"a": backend})
        stream = model.stream(REQUEST, deadline_seconds=9)
        assert await anext(stream) == Delta(text="a")
        assert (backend.open, model.state.in_flight, model.state.endpoints[0].in_flight) == (1, 1, 1)
        await stream.aclose()  # type: ignore[attr-defined]
        await stream.aclose()  # type: ignore[attr-defined]
        assert (backend.open, model.state.in_flight, model.state.endpoints[0].in_flight) == (0, 0, 0)

    run(work)


def unpredictable(rng: random.Random) -> FakeBackend:
    def plan(_: int) -> list[Step]:
        errors: list[Exception] = [
            ModelDownError("x"),
            ModelBusyError("x", retry_after_seconds=1),
            ModelTimeoutError("x"),
            ModelRefusedError("x"),
            KeyError("x"),
        ]
        choices: list[Step] = ["piece", "", rng.random() * 3]
        steps = [rng.choice(choices) for _ in range(rng.randrange(6))]
        return steps + ([rng.choice(errors)] if rng.random() < 0.4 else [])

    return FakeBackend(plan)


@pytest.mark.parametrize(("seed", "hedge_after_seconds"), [(1, None), (2, 0.5)])
def test_after_a_thousand_calls_that_fail_and_are_cancelled_at_random_no_place_is_lost(
    seed: int, hedge_after_seconds: float | None
) -> None:
    rng = random.Random(seed)
    backends = {name: unpredictable(rng) for name in ("a", "b", "c")}
    ends: collections.Counter[str] = collections.Counter()

    async def one(model: ResilientModel) -> None:
        await asyncio.sleep(rng.random() * 200)
        how = rng.choice(["whole", "cancel", "leave"])
        call = asyncio.ensure_future(said(model, rng.choice([0.5, 3, 20])))
        if how == "cancel":
            for _ in range(rng.randrange(1, 12)):  # at whichever await it has got to
                await asyncio.sleep(0 if rng.random() < 0.5 else rng.random())
            call.cancel()
        if how == "leave":
            call.cancel()
            stream = model.stream(REQUEST, deadline_seconds=5)
            with contextlib.suppress(FootnoteError, StopAsyncIteration):
                await anext(stream)
            await stream.aclose()  # type: ignore[attr-defined]
        try:
            await call
            ends["well"] += 1
        except asyncio.CancelledError:
            ends["cancelled"] += 1
        except FootnoteError as error:
            ends[error.code] += 1

    async def work() -> None:
        conduct = Conduct(queue_seconds=2, hedge_after_seconds=hedge_after_seconds)
        fleet = fleet_of(backends, declared(*backends, concurrency=4, queue=3, conduct=conduct))
        (model,) = fleet.all()
        await asyncio.gather(*(one(model) for _ in range(1000)))
        await asyncio.sleep(200)
        state = model.state
        assert (state.in_flight, state.waiting) == (0, 0)
        assert [each.in_flight for each in state.endpoints] == [0, 0, 0]
        assert still_open(backends) == 0
        for backend in backends.values():
            backend.plan = lambda _: ["yes"]
        assert await asyncio.gather(*(said(model) for _ in range(4))) == ["yes"] * 4
        await fleet.close()

    run(work)
    assert {"well", "cancelled", "model_down", "model_busy", "model_refused", "model_timeout"} <= ends.keys(), ends
    assert [backend.closed for backend in backends.values()] == [1, 1, 1]


def still_open(backends: Mapping[str, FakeBackend]) -> int:
    return sum(backend.open for backend in backends.values())


def test_a_silent_endpoint_is_overtaken_where_the_model_is_hedged() -> None:
    silent, quick = always(50.0, "late"), always(1.0, "soon")

    async def work() -> None:
        model = model_of(
            {"silent": silent, "quick": quick},
            weights={"silent": 100.0},
            conduct=Conduct(hedge_after_seconds=2.0),
        )
        began = now()
        assert await said(model) == "soon"
        assert now() - began == pytest.approx(3)
        assert silent.open == 0
        assert [each.in_flight for each in model.state.endpoints] == [0, 0]

    run(work)
    assert (len(silent.calls), len(quick.calls)) == (1, 1)


def test_not_hedged_one_endpoint_is_asked_at_a_time() -> None:
    silent, quick = always(5.0, "late"), always(1.0, "soon")

    async def work() -> str:
        return await said(model_of({"silent": silent, "quick": quick}, weights={"silent": 100.0}))

    assert run(work) == "late"
    assert quick.calls == []


def test_a_backend_is_opened_once_however_many_calls_wait_for_it_and_anew_where_that_failed() -> None:
    opened: list[float] = []

    async def opening(_: Endpoint) -> Backend:
        opened.append(now())
        await asyncio.sleep(2)
        if len(opened) == 1:
            raise ModelDownError("the file can't be read")
        return always("yes")

    async def work() -> None:
        fleet = Fleet([declared("a")], opening=opening, clock=now, rng=random.Random(1), policy=POLICY)
        (model,) = fleet.all()
        assert await asyncio.gather(*(said(model) for _ in range(2))) == ["yes"] * 2
        assert await said(model) == "yes"

    run(work)
    assert len(opened) == 2


def test_time_that_opening_takes_is_no_failure_of_the_endpoint_and_goes_on_without_the_caller() -> None:
    async def opening(_: Endpoint) -> Backend:
        await asyncio.sleep(20)
        return always("yes")

    async def work() -> None:
        fleet = Fleet([declared("a")], opening=opening, clock=now, rng=random.Random(1), policy=POLICY)
        (model,) = fleet.all()
        for _ in range(POLICY.failures):
            assert isinstance(await failure(model, deadline_seconds=6), ModelTimeoutError)
        assert (model.state.endpoints[0].breaker, model.state.endpoints[0].failures) == ("closed", 0)
        began = now()
        assert await said(model) == "yes"
        assert now() - began == pytest.approx(2)

    run(work)


def test_models_that_are_warmed_open_before_a_call_and_tell_what_is_wrong_with_them() -> None:
    async def opening(endpoint: Endpoint) -> Backend:
        await asyncio.sleep(3)
        if endpoint.base_url == "http://b":
            raise ConfigurationError("pip install it")
        if endpoint.base_url == "http://c":
            raise ModelDownError("the file is damaged")
        return always("yes")

    async def work() -> None:
        fleet = Fleet(
            [declared(name, name=name) for name in "abc"],
            opening=opening,
            clock=now,
            rng=random.Random(1),
            policy=POLICY,
        )
        await fleet.warm()
        a, b, c = fleet.all()
        began = now()
        assert await said(a) == "yes"
        assert now() == began
        assert b.state.why_not == "pip install it"
        assert c.state.endpoints[0].last_error == "model_down: the file is damaged"

    run(work)


def test_a_replaced_catalogue_keeps_what_is_as_it_was_and_lets_calls_end_where_they_began() -> None:
    backends = {name: always("a", 5.0, "b") for name in ("old", "new", "same")}

    async def work() -> None:
        keeps, changes = declared("same", name="keeps"), declared("old", name="changes")
        fleet = fleet_of(backends, keeps, changes)
        kept, changed = fleet.all()
        await said(kept)
        stream = changed.stream(REQUEST, deadline_seconds=60)
        await anext(stream)

        await fleet.replace([declared("new", name="changes"), keeps, declared("same", name="more")])

        assert [each.spec.name for each in fleet.all()] == ["changes", "keeps", "more"]
        assert fleet.get("keeps") is kept
        assert backends["old"].closed == 0
        assert [event async for event in stream][-1] == Finished(reason="stop", usage=None, endpoint="http://old")
        await asyncio.sleep(0)
        assert (backends["old"].closed, backends["same"].closed) == (1, 0)
        error = await failure(changed)
        assert "in the catalogue no more" in error.message
        assert await said(next(iter(fleet.all()))) == "ab"
        await fleet.close()
        assert (backends["new"].closed, backends["same"].closed, backends["old"].closed) == (1, 1, 1)

    run(work)


def test_an_endpoint_that_stays_keeps_its_breaker_when_the_models_price_changes() -> None:
    backend = always(ModelDownError("refused"))

    async def work() -> None:
        fleet = fleet_of({"a": backend}, declared("a"))
        await failure(fleet.all()[0])
        await fleet.replace([declared("a", context_tokens=9000)])
        (model,) = fleet.all()
        assert model.spec.context_tokens == 9000
        assert (model.state.endpoints[0].breaker, model.state.endpoints[0].calls) == ("open", 3)
        await fleet.replace([])
        assert fleet.all() == ()

    run(work)
    assert backend.closed == 1


def test_a_model_whose_key_is_not_set_is_refused_without_a_wait() -> None:
    async def work() -> FootnoteError:
        plain = declared("a")
        unset = dataclasses.replace(plain.endpoints[0], unset="the environment variable K is not set")
        fleet = fleet_of({}, dataclasses.replace(plain, endpoints=(unset,)))
        (model,) = fleet.all()
        assert not model.state.available
        assert model.state.why_not == "the environment variable K is not set"
        return await failure(model)

    error = run(work)
    assert isinstance(error, ModelRefusedError)
    assert error.message == "the model m can't be called: the environment variable K is not set"


def test_a_model_whose_extra_is_not_installed_is_refused_at_once_until_the_file_is_read_anew() -> None:
    opened: list[Endpoint] = []

    async def opening(endpoint: Endpoint) -> Backend:
        opened.append(endpoint)
        if len(opened) == 1:
            raise ConfigurationError("pip install 'footnote[openai]'")
        return always("yes")

    async def work() -> None:
        fleet = Fleet([declared("a")], opening=opening, clock=now, rng=random.Random(1), policy=POLICY)
        for _ in range(3):
            error = await failure(fleet.all()[0])
            assert isinstance(error, ModelRefusedError)
            assert "footnote[openai]" in error.message
        assert fleet.all()[0].state.why_not == "pip install 'footnote[openai]'"
        assert len(opened) == 1
        await fleet.replace([declared("a")])
        assert await said(fleet.all()[0]) == "yes"

    run(work)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Errors of fakes that the product logs are no output of the tests."""
    with caplog.at_level("CRITICAL"):
        yield
