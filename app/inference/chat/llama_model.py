"""A GGUF file read and run by llama.cpp, through the C interface that llama-cpp-python gives.

Its high-level `Llama` is not used: it turns the process's stdout and stderr off while it loads, reads marks in a document as if
the template had written them, and its grammars allow strings that are no JSON. One thread at a time may use a model; the
library gives up the interpreter's lock while it computes.
"""

from __future__ import annotations

import ctypes
import dataclasses
import logging
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from app.domain.errors import ConfigurationError, ModelDownError, ModelRefusedError
from app.domain.models import ChatRequest, Finished, Usage
from app.inference.chat.chat_template import FALLBACK, FALLBACK_STOPS, ChatTemplate
from app.inference.chat.held_text import HeldText
from app.inference.chat.schema_grammar import from_schema

log = logging.getLogger(__name__)

_LOG_ERROR: Final = 3  # GGML_LOG_LEVEL_ERROR
_NO: Final = 0  # of a C function's boolean
_ABORTED: Final = 2  # what llama_decode says when it was told to end
# llama.cpp's own defaults (common/common.h) but for repetition, which they do not punish either.
_TOP_K, _TOP_P, _MIN_P = 40, 0.95, 0.05

Say = Callable[[str], None]
Wanted = Callable[[], bool]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a model is run."""

    context_tokens: int = 0  # prompt and answer together; 0: what it was trained for, 8,192 at most
    batch_tokens: int = 512  # of a prompt, read at once
    threads: int = 0  # 0: half the processors, which are two to a core where they are virtual
    gpu_layers: int = -1  # on a GPU, where the library was built for one; -1: all
    seed: int = -1  # of the choice among likely words; -1: another one each time


class LlamaModel:
    """A model in memory, and what it has read last: a prompt that begins like the one before is read from where it differs."""

    def __init__(self, path: pathlib.Path, run: Run) -> None:
        """Load it; seconds to minutes.

        Raises:
            ConfigurationError: the library is missing.
            ModelDownError: the file is missing or damaged, or does not fit in memory.
        """
        self._library = library()
        self._run = run
        self._path = path
        self._context: Any = None
        self._stop = ctypes.create_string_buffer(2)  # "" goes on, "x" ends the evaluation under way
        self._read: list[int] = []  # the tokens that the context's memory holds
        self._pieces: dict[int, bytes] = {}
        self._model = self._loaded()
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def generate(self, request: ChatRequest, say: Say, wanted: Wanted) -> Finished:
        """Answer.

        Args:
            request: what is asked.
            say: is told each piece.
            wanted: whether to go on; asked before each token.

        Raises:
            ModelRefusedError: the prompt is longer than the context; the template or the schema can't be used.
            ModelDownError: llama.cpp failed, or was told to end.
        """
        self._stop[0] = b"\0"
        prompt = self._tokens(request)
        if len(prompt) >= self.context_tokens:
            raise ModelRefusedError(
                f"the prompt is {len(prompt)} tokens, the model's context is {self.context_tokens}",
                code="context_too_long",
            )
        sampler = _Sampler(self._library, self._vocabulary, request.temperature, self._run.seed)
        try:
            if request.json_schema is not None:
                sampler.hold_to(from_schema(request.json_schema), self._marks)
            cached = self._recall(prompt)
            self._evaluate(prompt[cached:], wanted)
            reason, made = self._write(request.max_tokens, sampler, say, wanted)
        finally:
            sampler.close()
        usage = Usage(prompt_tokens=len(prompt), completion_tokens=made, cached_tokens=cached)
        return Finished(reason="stop" if reason else "length", usage=usage)

    def interrupt(self) -> None:
        """End the evaluation under way, from any thread; on a GPU, when it is done."""
        self._stop[0] = b"x"

    def close(self) -> None:
        """Give the memory back."""
        if self._context is not None:
            self._library.llama_free(self._context)
            self._context = None
        if self._model is not None:
            self._library.llama_model_free(self._model)
            self._model = None

    def _loaded(self) -> Any:
        if not self._path.is_file():
            raise ModelDownError(f"there is no model file {self._path}")
        settings = self._library.llama_model_default_params()
        settings.n_gpu_layers = self._run.gpu_layers
        model = self._library.llama_model_load_from_file(os.fsencode(self._path), settings)
        if model is None:
            raise ModelDownError(f"the model file {self._path} can't be loaded: {_said_last()}")
        return model

    def _prepare(self) -> None:
        library = self._library
        if library.llama_model_has_encoder(self._model) or not library.llama_model_has_decoder(self._model):
            raise ModelDownError(f"the model in {self._path} does not write text")
        self._vocabulary = library.llama_model_get_vocab(self._model)
        settings = library.llama_context_default_params()
        trained = library.llama_model_n_ctx_train(self._model)
        settings.n_ctx = self._run.context_tokens or min(trained, 8_192)
        settings.n_batch = settings.n_ubatch = min(settings.n_ctx, self._run.batch_tokens)
        settings.n_threads = settings.n_threads_batch = self._run.threads or max(1, (os.cpu_count() or 2) // 2)
        self._context = library.llama_init_from_model(self._model, settings)
        if self._context is None:
            raise ModelDownError(f"there is no room for a context of {settings.n_ctx} tokens: {_said_last()}")
        self.context_tokens = min(int(library.llama_n_ctx(self._context)), int(settings.n_ctx))
        self._batch_tokens = int(settings.n_batch)
        self._memory = library.llama_get_memory(self._context)
        self._let_it_be_interrupted()
        self._template = self._of_file()

    def _let_it_be_interrupted(self) -> None:
        """Let llama.cpp look, between two steps of its graph, whether it shall end.

        What it calls must not need the interpreter, which its threads would wait for: so it is C's `strlen`, on a text
        that is empty until `interrupt` writes a letter into it. 0 goes on, anything else ends.
        """
        if os.name != "posix":
            return
        look = ctypes.cast(ctypes.CDLL(None).strlen, self._library.ggml_abort_callback)
        self._library.llama_set_abort_callback(self._context, look, ctypes.addressof(self._stop))

    def _of_file(self) -> ChatTemplate:
        library, vocabulary = self._library, self._vocabulary
        meant = library.LLAMA_TOKEN_ATTR_CONTROL | library.LLAMA_TOKEN_ATTR_UNKNOWN
        every = range(library.llama_vocab_n_tokens(vocabulary))
        self._marks = [token for token in every if library.llama_vocab_get_attr(vocabulary, token) & meant]
        marks = [self._text_of(token) for token in self._marks]
        source = (library.llama_model_chat_template(self._model, None) or b"").decode(errors="replace")
        self._stops = () if "{" in source else FALLBACK_STOPS
        self._begin = self._text_of(library.llama_vocab_bos(vocabulary))
        return ChatTemplate(
            FALLBACK if self._stops else source,
            bos=self._begin,
            eos=self._text_of(library.llama_vocab_eos(vocabulary)),
            marks=[*marks, *self._stops],
        )

    def _text_of(self, token: int) -> str:
        if token < 0:
            return ""
        text: bytes = self._library.llama_vocab_get_text(self._vocabulary, token)
        return text.decode(errors="replace")

    def _tokens(self, request: ChatRequest) -> list[int]:
        pieces = self._template.render(request.messages)
        begun = bool(self._begin) and pieces[0][0].startswith(self._begin)  # by the template
        tokens: list[int] = []
        for number, (text, is_markup) in enumerate(pieces):
            tokens += self._tokenized(text.encode(errors="replace"), begin=not number and not begun, marks=is_markup)
        return tokens

    def _tokenized(self, text: bytes, *, begin: bool, marks: bool) -> list[int]:
        room = len(text) + 8
        for _ in range(2):
            tokens = (self._library.llama_token * room)()
            count = self._library.llama_tokenize(self._vocabulary, text, len(text), tokens, room, begin, marks)
            if count >= 0:
                return list(tokens[:count])
            room = -count
        raise ModelDownError("llama.cpp could not read the prompt")

    def _recall(self, prompt: Sequence[int]) -> int:
        """How many tokens of the prompt need not be read again; the memory holds these and no more."""
        at = 0
        most = min(len(self._read), len(prompt) - 1)  # the last one is read, for what comes after it
        while at < most and self._read[at] == prompt[at]:
            at += 1
        if at and self._library.llama_memory_seq_rm(self._memory, 0, at, -1):
            del self._read[at:]
            return at
        self._forget()  # some architectures can't forget a part
        return 0

    def _forget(self) -> None:
        self._library.llama_memory_clear(self._memory, _NO)
        self._read.clear()

    def _evaluate(self, tokens: Sequence[int], wanted: Wanted) -> None:
        for at in range(0, len(tokens), self._batch_tokens):
            if not wanted():
                raise ModelDownError("nobody waits for the answer any more")
            part = tokens[at : at + self._batch_tokens]
            held = (self._library.llama_token * len(part))(*part)
            code = self._library.llama_decode(self._context, self._library.llama_batch_get_one(held, len(part)))
            if code:
                self._forget()
                why = "it was told to end" if code == _ABORTED else f"code {code}: {_said_last()}"
                raise ModelDownError(f"llama.cpp did not compute the next token ({why})")
            self._read += part

    def _write(self, most: int, sampler: _Sampler, say: Say, wanted: Wanted) -> tuple[bool, int]:
        """Whether the model came to its end, and how many tokens it made, the one for the end counted."""
        text = HeldText(stops=self._stops)
        made = 0
        ended = False
        while made < most:
            token = sampler.next(self._context)
            made += 1
            ended = bool(self._library.llama_vocab_is_eog(self._vocabulary, token))
            if ended:
                break
            if shown := text.add(self._piece(token)):
                say(shown)
            ended = text.stopped
            if ended or made == most or len(self._read) >= self.context_tokens:
                break
            self._evaluate([token], wanted)
        if rest := text.end():
            say(rest)
        return ended, made

    def _piece(self, token: int) -> bytes:
        if token not in self._pieces:
            room = 64
            held = ctypes.create_string_buffer(room)
            size = self._library.llama_token_to_piece(self._vocabulary, token, held, room, 0, _NO)
            if size < 0:
                room = -size
                held = ctypes.create_string_buffer(room)
                size = self._library.llama_token_to_piece(self._vocabulary, token, held, room, 0, _NO)
            self._pieces[token] = held.raw[:size]
        return self._pieces[token]


class _Sampler:
    """Chooses the next token."""

    def __init__(self, library: Any, vocabulary: Any, temperature: float, seed: int) -> None:
        self._library = library
        self._vocabulary = vocabulary
        self._grammar: Any = None
        self._silent: list[int] = []  # tokens that a grammar reads as their letters, of which nothing is shown
        self._chain = library.llama_sampler_chain_init(library.llama_sampler_chain_default_params())
        for each in self._steps(temperature, seed):
            library.llama_sampler_chain_add(self._chain, each)

    def hold_to(self, grammar: str, marks: Sequence[int]) -> None:
        """Choose only what the grammar allows.

        Raises:
            ModelRefusedError: llama.cpp does not take it.
        """
        library = self._library
        self._silent = [token for token in marks if not library.llama_vocab_is_eog(self._vocabulary, token)]
        self._grammar = library.llama_sampler_init_grammar(self._vocabulary, grammar.encode(), b"root")
        if self._grammar is None:
            raise ModelRefusedError(f"llama.cpp can't hold a model to this JSON schema: {_said_last()}")

    def _steps(self, temperature: float, seed: int) -> list[Any]:
        library = self._library
        if temperature <= 0:
            return [library.llama_sampler_init_greedy()]
        return [
            library.llama_sampler_init_top_k(_TOP_K),
            library.llama_sampler_init_top_p(_TOP_P, 1),
            library.llama_sampler_init_min_p(_MIN_P, 1),
            library.llama_sampler_init_temp(temperature),
            library.llama_sampler_init_dist(library.LLAMA_DEFAULT_SEED if seed < 0 else seed),
        ]

    def next(self, context: Any) -> int:
        """The token that comes after what the context has read."""
        library = self._library
        token = int(library.llama_sampler_sample(self._chain, context, -1))
        if self._grammar is None:
            return token
        # The grammar looks at what was chosen, and at the whole vocabulary only where it forbids that: most often, with a
        # model that was told the form, it does not.
        if not self._allows(token):
            token = self._chosen_of_allowed(context)
        library.llama_sampler_accept(self._grammar, token)
        return token

    def close(self) -> None:
        """Free what llama.cpp holds."""
        self._library.llama_sampler_free(self._chain)
        if self._grammar is not None:
            self._library.llama_sampler_free(self._grammar)

    def _allows(self, token: int) -> bool:
        if token in self._silent:
            return False
        one = (self._library.llama_token_data * 1)(self._library.llama_token_data(token, 1.0, 0.0))
        self._filtered(one, 1)
        return bool(one[0].logit > float("-inf"))

    def _chosen_of_allowed(self, context: Any) -> int:
        size = self._library.llama_vocab_n_tokens(self._vocabulary)
        candidates = (self._library.llama_token_data * size)()
        rows = np.frombuffer(candidates, dtype=[("id", np.intc), ("logit", np.single), ("p", np.single)])
        rows["id"] = np.arange(size)
        rows["logit"] = np.ctypeslib.as_array(self._library.llama_get_logits_ith(context, -1), shape=(size,))
        rows["logit"][self._silent] = float("-inf")
        self._filtered(candidates, size)
        if not np.isfinite(rows["logit"]).any():  # to accept a forbidden token would end the process
            raise ModelDownError("the model has no token that could come next in the JSON that is asked for")
        chosen = self._array(candidates, size)
        self._library.llama_sampler_apply(self._chain, ctypes.byref(chosen))
        token = int(chosen.data[chosen.selected].id)
        if not self._allows(token):
            raise ModelDownError("llama.cpp chose a token that the grammar forbids")
        return token

    def _filtered(self, candidates: Any, size: int) -> None:
        self._library.llama_sampler_apply(self._grammar, ctypes.byref(self._array(candidates, size)))

    def _array(self, candidates: Any, size: int) -> Any:
        data = ctypes.cast(candidates, ctypes.POINTER(self._library.llama_token_data))
        return self._library.llama_token_data_array(data=data, size=size, selected=-1, sorted=False)


_said: list[str] = []  # the last error of llama.cpp; it is written by whichever thread runs a model
_callbacks: list[Any] = []  # what C holds a pointer to


def library() -> Any:
    """llama.cpp's functions.

    Raises:
        ConfigurationError: they are not installed, or not for this machine.
    """
    try:
        import llama_cpp  # noqa: PLC0415 - only where such a model is used
        from llama_cpp import llama_cpp as functions  # noqa: PLC0415
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigurationError(
            f"a GGUF model in the process needs llama-cpp-python: pip install 'footnote[llama]' ({error})"
        ) from error
    if not _callbacks:
        _callbacks.append(llama_cpp.llama_log_callback(_note))
        functions.llama_log_set(_callbacks[0], ctypes.c_void_p(0))
        functions.llama_backend_init()
    return functions


def _note(level: int, text: bytes, _nothing: Any) -> None:
    """Keep llama.cpp's lines off stderr: an error goes into our own, all goes to the debug log."""
    line = text.decode(errors="replace").strip()
    if level == _LOG_ERROR and line:
        _said[:] = [line]
    log.debug("llama.cpp: %s", line)


def _said_last() -> str:
    return _said[0] if _said else "it does not say why"
