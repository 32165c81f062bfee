"""What benchmarks share: the processor's name, and how both sides are held to one of its instruction sets."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
ATEN = {"avx512": "avx512", "avx2": "avx2", "baseline": "default"}
ONEDNN = {"avx512": "ALL", "avx2": "AVX2", "baseline": "SSE41"}
MKL = {"avx512": "AVX512", "avx2": "AVX2", "baseline": "SSE4_2"}


def processor_name():
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.M)
    family, model = (re.search(rf"^{key}\s*:\s*(\d+)$", cpuinfo, re.M) for key in ("cpu family", "model"))
    return f"{name[1]} (family {family[1]}, model {model[1]})" if name and family and model else "unknown processor"


def forced(target):
    """Environment in which our kernels, ATen, oneDNN and MKL use this target; none: each its own best."""
    if target is None:
        return {}
    return {"REGROUP_SIMD": target, "ATEN_CPU_CAPABILITY": ATEN[target], "ONEDNN_MAX_CPU_ISA": ONEDNN[target],
            "MKL_ENABLE_INSTRUCTIONS": MKL[target]}
