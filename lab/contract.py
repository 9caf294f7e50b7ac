"""What a train.py must look like before it is worth a container.

Owns    the static half of the contract: present, parses, does not seed
Takes   the text of a proposed train.py; never imports or runs it
Gives   nothing, or ContractBroken with a reason that says what to change
Never   a defence: a hostile file can hide anything from this reading. The host's clock, the sealed
        container and the judge hold whatever the file does. This check only saves the minutes that an
        honest mistake would cost, so what it does not recognise it allows.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator

# The seed is about 30 KB. Twice that is still read by a person; more is weights or data in disguise.
MAX_BYTES = 64 * 1024

START = "harness.prepare.start"
SAVE = "harness.prepare.save"

# Calling or merely naming one of these sets a generator that the lab has already seeded.
SEEDING_PATHS = frozenset(
    {
        "torch.manual_seed",
        "torch.seed",
        "torch.random.manual_seed",
        "torch.random.seed",
        "torch.cuda.seed",
        "torch.cuda.seed_all",
        "torch.set_rng_state",
        "random.seed",
        "random.setstate",
        "numpy.random.seed",
        "numpy.random.set_state",
    }
)

# These have no other use, so they count on any object: `torch.Generator().manual_seed(1)`.
SEEDING_NAMES = frozenset({"manual_seed", "manual_seed_all", "set_rng_state", "set_rng_state_all"})

# A generator of one's own with a constant in it. Without an argument they ask the operating system.
SEEDED_CONSTRUCTORS = frozenset(
    {
        "random.Random",
        "numpy.random.default_rng",
        "numpy.random.RandomState",
        "numpy.random.SeedSequence",
        "numpy.random.PCG64",
        "numpy.random.PCG64DXSM",
        "numpy.random.MT19937",
        "numpy.random.Philox",
        "numpy.random.SFC64",
    }
)


class ContractBroken(Exception):
    """The file cannot be an experiment; `reason` tells its author what to change."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def check(train_py: str) -> None:
    """Read a proposed train.py and let it pass, or say why not.

    Raises:
        ContractBroken: not text, over MAX_BYTES, does not compile, lacks `build_model`, the main block,
            `prepare.start` or `prepare.save`, or seeds a random generator.
    """
    _check_text(train_py)
    tree = _parse(train_py)
    names = _meanings(tree)
    _check_build_model(tree)
    main = _check_main_block(tree)
    _check_prepare_calls(tree, main, names)
    _check_seeding(tree, names)


def _check_text(train_py: str) -> None:
    try:
        size = len(train_py.encode("utf-8"))
    except UnicodeEncodeError as error:
        line = train_py.count("\n", 0, error.start) + 1
        raise ContractBroken(
            f"line {line} holds a character that is not valid UTF-8 text; write plain UTF-8."
        ) from None
    if "\0" in train_py:
        line = train_py.count("\n", 0, train_py.index("\0")) + 1
        raise ContractBroken(f"line {line} holds a NUL byte; write plain text.")
    if size > MAX_BYTES:
        raise ContractBroken(
            f"train.py has {size:,} bytes and the cap is {MAX_BYTES:,}; a model is described, not shipped."
        )
    if not train_py.strip():
        raise ContractBroken("train.py is empty; reply with the whole file.")


def _parse(train_py: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape sequence is its author's business
            tree = ast.parse(train_py, "train.py")
            # Some errors, such as `return` outside a function, only show when compiling.
            compile(train_py, "train.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        where = f"line {error.lineno}" if error.lineno else "an unknown line"
        shown = f": {error.text.strip()[:120]}" if error.text and error.text.strip() else ""
        raise ContractBroken(f"train.py does not parse, {where}: {error.msg}{shown}") from None
    except (RecursionError, MemoryError):
        raise ContractBroken(
            "train.py is nested too deeply for Python to parse; flatten the expression."
        ) from None
    except (ValueError, OverflowError) as error:
        raise ContractBroken(f"train.py does not parse: {error}") from None
    return tree


def _check_build_model(tree: ast.Module) -> None:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "build_model":
            _check_takes_one_argument(node)
            return
        if isinstance(node, ast.Assign | ast.AnnAssign) and "build_model" in _targets(node):
            return
    raise ContractBroken(
        "there is no build_model at the top level; the judge rebuilds the model with `build_model(config)`."
    )


def _check_takes_one_argument(node: ast.FunctionDef) -> None:
    arguments = node.args
    positional = arguments.posonlyargs + arguments.args
    required = len(positional) - len(arguments.defaults)
    keyword_only = [default for default in arguments.kw_defaults if default is None]
    accepts_one = bool(positional or arguments.vararg) and required <= 1 and not keyword_only
    if not accepts_one:
        raise ContractBroken(
            f"build_model (line {node.lineno}) must work with one argument: it is called as "
            "`build_model(config)`, with the dict that was given to prepare.save."
        )


def _check_main_block(tree: ast.Module) -> ast.If:
    for node in tree.body:
        if isinstance(node, ast.If) and _is_main_test(node.test):
            return node
    raise ContractBroken(
        'there is no `if __name__ == "__main__":` block; training starts there, because the judge '
        "imports the file and importing must not train."
    )


def _is_main_test(test: ast.expr) -> bool:
    if not (
        isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)
    ):
        return False
    sides = (test.left, test.comparators[0])
    named = any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)
    return named and any(
        isinstance(side, ast.Constant) and side.value == "__main__" for side in sides
    )


def _check_prepare_calls(tree: ast.Module, main: ast.If, names: dict[str, str]) -> None:
    called = {_path(node.func, names) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    if START not in called:
        raise ContractBroken(
            "prepare.start() is never called; without it the data gate stays closed and no time is granted."
        )
    if SAVE not in called:
        raise ContractBroken(
            "prepare.save(model, config) is never called; a model that is not saved has no score."
        )
    for node in _run_on_import(tree, main):
        if isinstance(node, ast.Call) and _path(node.func, names) in (START, SAVE):
            raise ContractBroken(
                f"line {node.lineno} calls prepare on import; move it under "
                '`if __name__ == "__main__":`, because the judge imports the file.'
            )


def _run_on_import(tree: ast.Module, main: ast.If) -> Iterator[ast.AST]:
    """Every node that importing the file would execute, functions' bodies left out."""
    waiting: list[ast.AST] = [node for node in tree.body if node is not main]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def _check_seeding(tree: ast.Module, names: dict[str, str]) -> None:
    for node in ast.walk(tree):
        found = _seeds(node, names)
        if found:
            raise ContractBroken(
                f"line {getattr(node, 'lineno', '?')} seeds a random generator ({found}); remove it. "
                "The lab owns the seed, so that a lucky seed is never a discovery."
            )


def _seeds(node: ast.AST, names: dict[str, str]) -> str | None:
    """The name of the seeding function that this node reaches for, None when it does not."""
    if isinstance(node, ast.Attribute | ast.Name):
        path = _path(node, names)
        last = node.attr if isinstance(node, ast.Attribute) else path.rpartition(".")[2]
        if path in SEEDING_PATHS or last in SEEDING_NAMES:
            return path or last
    if isinstance(node, ast.ImportFrom):
        for alias in node.names:
            if f"{node.module}.{alias.name}" in SEEDING_PATHS or alias.name in SEEDING_NAMES:
                return f"{node.module}.{alias.name}"
    if isinstance(node, ast.Call):
        return _seeding_call(node, names)
    return None


def _seeding_call(node: ast.Call, names: dict[str, str]) -> str | None:
    path = _path(node.func, names)
    if path in SEEDED_CONSTRUCTORS and (node.args or node.keywords):
        return path
    if path == "torch.Generator":
        return "torch.Generator, which starts from a constant of its own"
    if isinstance(node.func, ast.Attribute) and node.func.attr == "seed":
        return ".seed()"
    if path == "getattr" and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
        name = node.args[1].value
        return str(name) if name in SEEDING_NAMES | {"seed", "setstate", "set_state"} else None
    return None


def _meanings(tree: ast.Module) -> dict[str, str]:
    """What the file's names stand for: `{"np": "numpy", "s": "torch.manual_seed"}`."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                names[bound] = alias.name if alias.asname else bound
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):  # `p = prepare`, one step deep: enough for honest code
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Attribute):
            path = _path(node.value, names)
            if path and path.partition(".")[0] in {"torch", "numpy", "random", "harness"}:
                names |= {target: path for target in _targets(node) if target not in names}
    return names


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets: Iterable[ast.expr] = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _path(node: ast.expr, names: dict[str, str]) -> str:
    """`np.random.seed` as "numpy.random.seed"; "" for what is not a plain dotted name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([names.get(node.id, node.id), *reversed(parts)])
