"""``emrecon completion``.

For example::

    source <(emrecon completion bash)
    emrecon completion fish > ~/.config/fish/completions/emrecon.fish
"""

from __future__ import annotations

from typing import Literal


def completion(shell: Literal["bash", "zsh", "fish", "powershell"], /) -> None:
    """Print the script by which a shell completes commands and flags.

    Parameters
    ----------
    shell
        For which shell.
    """
    from emrecon.cli import app

    print(app.generate_completion(shell=shell))
