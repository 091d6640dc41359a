"""List-mode words one by one: prompts become detector pairs.

Compiled inner loops without checks; see `emrecon.tomo.kernels.histogram`, which counts the same
words into sinograms, for what the arguments are.
"""

import numpy as np

from emrecon.compiled import kernel
from emrecon.tomo.kernels import histogram

_ends, _unpack, _count_tag = histogram._ends, histogram._unpack, histogram._count_tag  # noqa: SLF001 - of this folder


@kernel()
def pairs_of(words, window, ring1, ring2, crystals, bins, fans, state, pairs):
    """Put the detectors of each prompt, ring times crystals plus crystal, into `pairs`.

    Fan sums and state are those of `histogram.count_words`. Returns the number of prompts.
    """
    half = crystals // 2
    count = 0
    counting = state[histogram.NOW] >= window[0]
    for word in words:
        if word >> np.uint32(31):
            _count_tag(word, window, state)
            counting = state[histogram.NOW] >= window[0]
            if state[histogram.FINISHED]:
                return count
        elif counting:
            kind = np.uint64(word >> np.uint32(30))
            sinogram, view, bin_ = _unpack(word & np.uint32(0x3FFFFFFF), bins, half)
            if sinogram >= np.uint64(ring1.size):
                state[histogram.OUT_OF_RANGE] += 1
                continue
            end1, end2 = _ends(view, bin_, bins, half)
            r1, r2 = np.uint64(ring1[sinogram]), np.uint64(ring2[sinogram])
            fans[kind, end1, r1] += 1
            fans[kind, end2, r2] += 1
            if kind:
                pairs[count, 0] = r1 * np.uint64(crystals) + end1
                pairs[count, 1] = r2 * np.uint64(crystals) + end2
                count += 1
    return count
