"""The assertions between `%{` and `}%`: a small part of Python, evaluated by walking its tree. It reaches nothing.

Names are the values of `TCP_INFO` at that moment (`tcpi_snd_cwnd`), Linux's constants (`TCP_CA_Open`,
`TCPI_OPT_SACK`), and what the script itself assigned.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from tcplab.lab.drill.errors import Mismatch, NotHere, ScriptError

_BINARY: Final[dict[type, Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.BitAnd: operator.and_, ast.BitOr: operator.or_,
    ast.BitXor: operator.xor, ast.LShift: operator.lshift, ast.RShift: operator.rshift,
}  # fmt: skip
_COMPARE: Final[dict[type, Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip
_UNARY: Final[dict[type, Callable[[Any], Any]]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_, ast.Invert: operator.invert,
}  # fmt: skip
_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {"abs": abs, "min": min, "max": max, "int": int, "round": round}
_LARGEST: Final = 1 << 128


class Assertions:
    """Runs the blocks of one script; what they assign stays from block to block."""

    def __init__(self, file: str, constants: Mapping[str, int]) -> None:
        self.file = file
        self.constants = constants
        self.assigned: dict[str, Any] = {}
        self.values: Mapping[str, int] = {}
        self.line = 0
        self.asked: list[str] = []

    def run(self, text: str, line: int, values: Mapping[str, int]) -> None:
        """Mismatch: an assertion does not hold. ScriptError: it is not of the language."""
        self.values = values
        self.line = line
        source = _dedent(text).rstrip().rstrip("\\")  # packetdrill lets the last line go on into nothing
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError) as error:
            raise ScriptError(self.file, line, f"the code between %{{ and }}% is no Python: {error}") from None
        for statement in tree.body:
            self._statement(statement)

    def _refused(self, node: ast.AST) -> ScriptError:
        line = self.line + getattr(node, "lineno", 1) - 1
        return NotHere(
            self.file, line, f"{type(node).__name__} is not allowed between %{{ and }}%: assertions on tcpi_*"
        )

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assert):
            self._assert(node)
        elif isinstance(node, ast.Assign) and all(isinstance(target, ast.Name) for target in node.targets):
            value = self._value(node.value)
            for target in node.targets:
                assert isinstance(target, ast.Name)
                self.assigned[target.id] = value
        elif isinstance(node, ast.If):
            for inner in node.body if self._value(node.test) else node.orelse:
                self._statement(inner)
        elif (isinstance(node, ast.Expr) and _is_print(node.value)) or isinstance(node, (ast.Pass, ast.Import)):
            pass  # what it would say is said by the report
        else:
            raise self._refused(node)

    def _assert(self, node: ast.Assert) -> None:
        self.asked = []
        if not self._value(node.test):
            saw = ", ".join(dict.fromkeys(self.asked)) or "false"
            raise Mismatch(self.line + node.lineno - 1, "assertion", ast.unparse(node.test), saw)

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str, bool, type(None))):
            return node.value
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
            return _UNARY[type(node.op)](self._value(node.operand))
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            return self._binary(node)
        if isinstance(node, ast.BoolOp):
            return self._logic(node)
        if isinstance(node, ast.Compare):
            return self._compare(node)
        if isinstance(node, ast.IfExp):
            return self._value(node.body if self._value(node.test) else node.orelse)
        if isinstance(node, (ast.Tuple, ast.List)):
            return [self._value(part) for part in node.elts]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
            return _FUNCTIONS[node.func.id](*(self._value(part) for part in node.args))
        raise self._refused(node)

    def _name(self, node: ast.Name) -> Any:
        for known in (self.assigned, self.values, self.constants):
            if node.id in known:
                if known is not self.constants:
                    self.asked.append(f"{node.id} = {known[node.id]}")
                return known[node.id]
        if node.id in ("True", "False"):
            return node.id == "True"
        raise NotHere(self.file, self.line, f"{node.id}: no such value; there are those of TCP_INFO (tcpi_...)")

    def _binary(self, node: ast.BinOp) -> Any:
        left, right = self._value(node.left), self._value(node.right)
        try:
            if isinstance(node.op, ast.LShift) and not 0 <= right <= 128:
                raise ValueError("it shifts too far")
            value = _BINARY[type(node.op)](left, right)
        except (ArithmeticError, TypeError, ValueError) as error:
            raise ScriptError(self.file, self.line, f"{ast.unparse(node)}: {error}") from None
        if (isinstance(value, (int, float)) and abs(value) > _LARGEST) or isinstance(value, (str, list)):
            raise self._refused(node)
        return value

    def _logic(self, node: ast.BoolOp) -> Any:
        value: Any = None
        for part in node.values:
            value = self._value(part)
            if bool(value) != isinstance(node.op, ast.And):
                return value
        return value

    def _compare(self, node: ast.Compare) -> bool:
        left = self._value(node.left)
        for op, other in zip(node.ops, node.comparators, strict=True):
            right = self._value(other)
            if isinstance(op, (ast.In, ast.NotIn)) and isinstance(right, list):
                holds = (left in right) == isinstance(op, ast.In)
            elif type(op) in _COMPARE:
                try:
                    holds = _COMPARE[type(op)](left, right)
                except TypeError as error:
                    raise ScriptError(self.file, self.line, f"{ast.unparse(node)}: {error}") from None
            else:
                raise self._refused(node)
            if not holds:
                return False
            left = right
        return True


def _is_print(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def _dedent(text: str) -> str:
    """Code may begin behind the sign or on the next line, with any margin."""
    lines = text.strip(" \t").split("\n")
    margins = [len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()]
    margin = min(margins, default=0)
    rest = [line[margin:] for line in lines[1:]]
    return "\n".join([lines[0].strip(), *rest]) if lines[0].strip() else "\n".join(["", *rest])
