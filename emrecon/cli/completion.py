"""``emrecon completion``.

For example::

    source <(emrecon completion bash)
    source <(emrecon completion zsh)
    emrecon completion fish > ~/.config/fish/completions/emrecon.fish
"""

from __future__ import annotations

from typing import Literal

_ZSH = r"""
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _cyclopts_emrecon emrecon
(( $+compstate )) && _cyclopts_emrecon "$@"   # as a file of $fpath, it is called to complete
true
"""  # cyclopts' script defines a function alone, which completes nothing until it is named


def completion(shell: Literal["bash", "zsh", "fish", "powershell"], /) -> None:
    """Print the script by which a shell completes commands and flags.

    Parameters
    ----------
    shell
        For which shell.
    """
    from emrecon.cli import app

    script = app.generate_completion(shell=shell)
    print(script.rstrip() + "\n" + _ZSH if shell == "zsh" else script)
