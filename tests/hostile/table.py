"""Prints the cases of hostile input as a table for the docs: python tests/hostile/table.py"""

from pathlib import Path

import yaml

TITLES = {
    "text": "Text",
    "files": "Files",
    "numbers": "Numbers",
    "runs": "Runs and checkpoints",
    "plugins": "Plugins",
    "processes": "Signals, pipes, the environment",
}


def shown(command: str) -> str:
    """A command in a cell of a table."""
    lines = [line.strip() for line in command.replace("$FIT", "seqlab fit ...").replace(" $TINY", "").splitlines()]
    for old, new in (("$RUN", "RUN"), ("$LM", "RUN"), ('"$PYTHON" ', "python "), ("${LONG}", "xxx..."), ("|", "\\|")):
        lines = [line.replace(old, new) for line in lines]
    return f"`{'; '.join(lines).replace('then;', 'then').replace('do;', 'do').replace('&;', '&')}`"


def main() -> None:
    """Prints a section for each table."""
    for name, title in TITLES.items():
        cases = yaml.safe_load((Path(__file__).parent / f"{name}.yaml").read_text(encoding="utf-8"))
        print(f"### {title}\n\n| what | command | exit code | says |\n|---|---|---|---|")
        for case in cases:
            says = str(case.get("says", "")).replace("|", "\\|")
            print(f"| {case['what']} | {shown(case['run'])} | {case['code']} | {f'`{says}`' if says else ''} |")
        print()


if __name__ == "__main__":
    main()
