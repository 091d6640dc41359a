#!/usr/bin/env bash
# Simulate three scans, reconstruct each in two ways, and say what became of them.
# Run it in an empty folder; run it again after whatever went wrong: what is done is not done twice.
set -uo pipefail

cat > simulate.toml <<'TOML'
out = "scans"
[defaults]
kind = "simulate"
scanner = "tiny"      # any name that `emrecon simulate --scanner` knows
counts = 3e5
[[scan]]
name = "patient"
input = "brain"
[matrix]
seed = [1, 2, 3]
TOML

cat > recon.toml <<'TOML'
out = "images"
[defaults]
iterations = 4
subsets = 4
[[scan]]
input = "scans/patient_*"
[matrix]
psf_fwhm_mm = [[], [6.0]]
TOML

emrecon batch simulate.toml --resume || exit
emrecon batch recon.toml --dry-run
emrecon batch recon.toml --resume
code=$?
case $code in
  0) echo "all done: look at images/batch/report.html" ;;
  1) echo "some failed:"; grep '"status":"failed"' images/batch/report.jsonl ;;
  3) echo "nothing could be done" ;;
esac
exit $code
