#!/bin/sh
# Runs the trainer on a machine with an NVIDIA card:
#   ./start.sh selftest --device cuda --json selftest.json
#   ./start.sh train recipes/studio.toml --device cuda --minutes 9     (and again with --resume)
#   ./start.sh separate SONG.wav -o out --checkpoint studio --device cuda
#   python3 training.py --trainer ./start.sh --device cuda --threads 16
# CUDA's libraries (cublas, cudart, nvrtc, curand) come from CUDA_LIBRARIES, from the system, or from the wheels
# that PyTorch brings; the driver's own libcuda.so.1 comes with the driver.
set -e
here=$(cd "$(dirname "$0")" && pwd)
if [ ! -x "$here/trainer" ]; then
    gzip -dc "$here/trainer.gz" >"$here/trainer.new"
    chmod +x "$here/trainer.new"
    mv "$here/trainer.new" "$here/trainer"
fi
# An empty entry would stand for the current folder.
add() {
    if [ -n "$1" ]; then LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$1"; fi
}
given=${LD_LIBRARY_PATH:-}
LD_LIBRARY_PATH=
add "${CUDA_LIBRARIES:-}"
for folder in /usr/local/cuda/lib64 /usr/local/cuda/targets/x86_64-linux/lib; do
    if [ -d "$folder" ]; then add "$folder"; fi
done
if command -v python3 >/dev/null 2>&1; then
    add "$(python3 -c '
import glob, os, site, sysconfig
roots = {sysconfig.get_path("purelib"), site.getusersitepackages(), *site.getsitepackages()}
print(":".join(sorted(f for r in roots for f in glob.glob(os.path.join(r, "nvidia", "*", "lib")))))')"
fi
add "$given"
export LD_LIBRARY_PATH
if missing=$(ldd "$here/trainer" 2>&1 | grep -E 'not found|cannot'); then
    echo "error: this machine lacks (set CUDA_LIBRARIES to the folder that has them; libcuda is the driver's):" >&2
    echo "$missing" >&2
    exit 2
fi
exec "$here/trainer" "$@"
