"""How the commands show their help: `-h` too, plain words for types, and options under headings."""

import re
from pathlib import Path
from typing import Any, ClassVar

from typer import BadParameter
from typer.core import TyperCommand, TyperGroup

from numpy_vgg7.errors import ConfigError

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
WORDS = {"int": "N", "int range": "N", "float": "X", "float range": "X", "str": "NAME", "path": "PATH"}
# How Typer's words about values and ranges are written here.
PLAIN = {
    r"Input should be greater than or equal to (\S+)": r"must be at least \1",
    r"Input should be less than or equal to (\S+)": r"must be at most \1",
    r"Input should be a valid integer.*": "must be a whole number",
    r"Input should be a valid number.*": "must be a number",
    r"([\d.]+)<=x<=([\d.]+)": r"\1 to \2",
    r"x>=": "at least ",
}


def plain(text: str) -> str:
    """A text of Typer in plain words."""
    for pattern, words in PLAIN.items():
        text = re.sub(pattern, words, text)
    return text


class Command(TyperCommand):
    """A command.

    headings: titles of sections of the help, by the option that begins it.
    ranges: of options whose range Typer does not know, for the help.
    """

    headings: ClassVar[dict[str, str]] = {}
    ranges: ClassVar[dict[str, str]] = {}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, with plain words about those that are wrong."""
        try:
            return super().parse_args(ctx, args)
        except BadParameter as error:
            error.message = plain(error.message)
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command. An error about settings that options gave names these options."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            names = error.what.split(" and ")
            concerned = [parameter for parameter in self.params if parameter.name in names]
            if any(isinstance(ctx.params[parameter.name], Path) for parameter in concerned):
                raise  # about a file with the name of an option
            given = [option.opts[0] for option in concerned if _is_given(ctx, option)]
            if len(concerned) < len(names) or not given:
                raise
            what = " and ".join(given)
            raise ConfigError(what, error.expected, error.found, error.fix) from error

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The parts of the usage line, without braces around what has no alternative."""
        pieces: list[str] = super().collect_usage_pieces(ctx)
        return [re.sub(r"^\{([^|]*)\}", r"\1", piece) for piece in pieces]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        title = "Options"
        for parameter in self.get_params(ctx):
            name, text = parameter.get_help_record(ctx) or ("", "")
            if parameter.param_type_name == "argument":
                name = re.sub(r" <[^<>]*>$", "", name)
                sections["Arguments"].append((name, text.replace("  [required]", "")))
            elif name:
                name = re.sub(r"<([^<>]*)>", lambda kind: WORDS.get(kind[1], kind[0]), name)
                text = self._with_range(plain(text), parameter.name)
                title = self.headings.get(parameter.name, title)
                sections.setdefault(title, []).append((name, text))
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def _with_range(self, text: str, name: str) -> str:
        """The help of an option, with its range beside its default."""
        known = self.ranges.get(name)
        if not known:
            return text
        return f"{text[:-1]}; {known}]" if text.endswith("]") else f"{text}  [{known}]"


def _is_given(ctx: Any, option: Any) -> bool:
    source = ctx.get_parameter_source(option.name)
    return source is not None and source.name == "COMMANDLINE"


class Group(TyperGroup):
    """A group of commands, with the flags of the group itself off by default."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters. A flag without a default would be validated by a package that is slow to import."""
        parameters: list[Any] = super().get_params(ctx)
        for parameter in parameters:
            if getattr(parameter, "is_flag", False) and parameter.default is None:
                parameter.default = False
        return parameters
