# shellcheck shell=bash
# Shared by the scripts of this directory: find a Python, make or use a virtual environment, install one locked stack.
# Sourced, never run. After `install_stack` the variable ATLAS_VENV names the environment.

ATLAS_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PYTORCH_CPU_INDEX="https://download.pytorch.org/whl/cpu"
LEAST_DRIVER=580
STAMP_NAME=".atlas-stack"
VERSIONS_NAME=".atlas-versions"

fail() { # fail MESSAGE REMEDY
    printf 'error: %s\n       %s\n' "$1" "$2" >&2
    exit 1
}

warn() { # warn MESSAGE REMEDY
    printf 'warning: %s\n         %s\n' "$1" "$2" >&2
}

show_help() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$1"; } # show_help SCRIPT: the comment at its top

seconds_since() { echo $((SECONDS - $1)); }

# --- which Python, which stack ---------------------------------------------------------------------------------------

python_works() { # python_works COMMAND VERSION: runs, is that version and can make environments
    "$1" -c "import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '$2')" > /dev/null 2>&1
}

find_python() { # find_python VERSION: prints the first Python of that version that really runs
    local version="$1" candidate
    # A version manager's shim may exist for a Python that is not selected, hence its own directories as well.
    for candidate in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version"*/bin/python \
        "/usr/bin/python$version" "/usr/local/bin/python$version" python3 python; do
        if python_works "$candidate" "$version"; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return 0
        fi
    done
    return 1
}

environment_version() { # the Python version of an environment, or nothing when its Python does not run
    "$1/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2> /dev/null || true
}

chosen_environment() { echo "${VIRTUAL_ENV:-$ATLAS_ROOT/.venv}"; }

preferred_version() { # that of the environment in use, else the first supported Python found
    local version
    version="$(environment_version "$(chosen_environment)")"
    case "$version" in
        3.11 | 3.12) echo "$version" && return 0 ;;
        ?*) fail "$(chosen_environment) holds Python $version; ATLAS needs 3.11 or 3.12." \
            "Run 'deactivate' (or remove that environment), then run this again." ;;
    esac
    for version in 3.11 3.12; do
        find_python "$version" > /dev/null && echo "$version" && return 0
    done
    fail "No usable Python 3.11 or 3.12 was found." \
        "Install one with its venv module, for example: apt-get install python3.11 python3.11-venv python3.11-dev"
}

preferred_stack() { # that of the environment in use, else gpu where NVIDIA's driver lists a card
    local stamp
    stamp="$(chosen_environment)/$STAMP_NAME"
    if [[ -f "$stamp" ]]; then
        cut -d' ' -f1 "$stamp" | head -n 1
    elif nvidia-smi -L 2> /dev/null | grep -q '^GPU '; then
        echo gpu
    else
        echo cpu
    fi
}

# --- checks before anything is changed -------------------------------------------------------------------------------

check_platform() {
    local platform
    platform="$(uname -s) $(uname -m)"
    [[ "$platform" == "Linux x86_64" ]] ||
        fail "The locked stacks are for Linux x86_64; this machine is $platform." \
            "Use a Linux x86_64 machine, a container or WSL 2."
}

check_disk() { # check_disk DIRECTORY GIGABYTES
    local free
    free="$(df -Pk "$1" | awk 'NR == 2 {print int($4 / 1048576)}')"
    ((free >= $2)) || fail "Installing needs $2 GB of disk; $1 has $free GB free." \
        "Free some space, or activate a virtual environment on a larger disk and run this again."
}

check_builds() { # check_builds PYTHON VERSION: what Triton needs when servers and trainers first run on a GPU
    local headers
    if [[ -z "${CC:-}" ]] && ! command -v gcc > /dev/null && ! command -v clang > /dev/null; then
        fail "There is no C compiler, with which servers and trainers build kernels when they start." \
            "Install one with Python's headers (Debian, Ubuntu: apt-get install gcc g++ python$2-dev), or set CC."
    fi
    headers="$("$1" -c 'import sysconfig; print(sysconfig.get_path("include"))')"
    [[ -f "$headers/Python.h" ]] ||
        fail "$headers/Python.h is not there, with which servers and trainers build kernels when they start." \
            "Install Python's headers (Debian, Ubuntu: apt-get install python$2-dev)."
}

warn_of_gpu() { # what keeps the GPU stack from running here, which may be meant for another machine
    local driver
    driver="$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2> /dev/null | head -n 1 || true)"
    if [[ ! "$driver" =~ ^[0-9]+ ]]; then
        warn "nvidia-smi lists no GPU: what is installed now runs on a machine that has one, and only there." \
            "For a machine without GPU: bash scripts/install_py3*.sh --cpu"
    elif ((${driver%%.*} < LEAST_DRIVER)); then
        warn "NVIDIA's driver is $driver; these CUDA 13 builds need $LEAST_DRIVER or newer." "Update the driver."
    fi
    if pip_settings | grep -q 'download\.pytorch\.org/whl/'; then
        warn "pip is configured with another index of torch, which these builds are not from: files may be fetched twice." \
            "Without it: PIP_CONFIG_FILE=/dev/null PIP_EXTRA_INDEX_URL= bash scripts/install_py3*.sh"
    fi
}

pip_settings() { # what pip is configured with, by files and by the environment
    "$ATLAS_VENV/bin/python" -m pip config list 2> /dev/null || true
    env | grep '^PIP_' || true
}

# --- installing ------------------------------------------------------------------------------------------------------

heartbeat() { # says every ten seconds what the log's last line is, for as long as the script lives
    local started="$SECONDS"
    while sleep 10 > /dev/null 2>&1 && kill -0 $$ 2> /dev/null; do
        printf '    %s s: %.100s\n' "$(seconds_since "$started")" "$(tail -n 1 "$INSTALL_LOG" | tr -d '\r')"
    done
}

step() { # step DESCRIPTION COMMAND…: runs into the log, shows that it is alive, ends with the time it took
    local description="$1" started="$SECONDS" pulse status=0
    shift
    printf '  %s …\n' "$description" | tee -a "$INSTALL_LOG"
    heartbeat &
    pulse=$!
    "$@" >> "$INSTALL_LOG" 2>&1 < /dev/null || status=$?
    kill "$pulse" 2> /dev/null || true
    wait "$pulse" 2> /dev/null || true
    if ((status != 0)); then
        tail -n 25 "$INSTALL_LOG" >&2
        fail "'$description' failed; the whole log is $INSTALL_LOG" \
            "Check the network and pip's settings (pip config list), then run the same command again: it continues."
    fi
    printf '    done in %s s\n' "$(seconds_since "$started")"
}

install_uv() { # never fails: without uv, pip does the same
    "$ATLAS_VENV/bin/python" -m pip install --require-hashes -r requirements/uv.txt || true
}

install_locked() { # install_locked LOCK [options]: with uv, else with pip
    local lock="$1"
    shift
    "$ATLAS_VENV/bin/python" scripts/uv_like_pip.py pip install --python "$ATLAS_VENV/bin/python" --no-progress \
        --no-deps --require-hashes "$@" -r "$lock" ||
        "$ATLAS_VENV/bin/python" -m pip install --no-deps --require-hashes "$@" -r "$lock"
}

install_torch_cpu() { # from the indexes and local wheels that pip is configured with, else from PyTorch's own index
    install_locked requirements/torch-cpu.txt ||
        install_locked requirements/torch-cpu.txt --index-url "$PYTORCH_CPU_INDEX"
}

install_project() { "$ATLAS_VENV/bin/python" -m pip install --no-deps --no-build-isolation --editable .; }

make_environment() { # make_environment VERSION: prints nothing; a half-made environment is completed
    local python
    python="$(find_python "$1")" || fail "Python $1 was not found (or cannot make virtual environments)." \
        "Install it with its venv module (Debian, Ubuntu: apt-get install python$1 python$1-venv python$1-dev), or use the script of the other version."
    mkdir -p "$ATLAS_VENV"
    step "Making $ATLAS_VENV with $python" "$python" -m venv "$ATLAS_VENV"
}

use_environment() { # use_environment VERSION: checks the environment in use, or makes .venv
    local found
    found="$(environment_version "$ATLAS_VENV")"
    if [[ -n "$found" && "$found" != "$1" ]]; then
        fail "$ATLAS_VENV holds Python $found, but Python $1 is to be installed." \
            "Run scripts/install_py${found/./}.sh, or remove that environment (or deactivate it) and run this again."
    elif [[ -z "$found" && -n "${VIRTUAL_ENV:-}" ]]; then
        fail "The active virtual environment $ATLAS_VENV has no Python that runs." "Run 'deactivate', then this again."
    elif [[ -z "$found" ]] || ! "$ATLAS_VENV/bin/python" -m pip --version > /dev/null 2>&1; then
        make_environment "$1"
    fi
}

show_versions() { # show_versions STACK: imports everything once, which also compiles its bytecode
    local accelerator=()
    [[ "$1" == cpu ]] && accelerator=(DS_ACCELERATOR=cpu)
    # Containers often ask for no bytecode; then every process would compile what it imports anew: twice the CPU time of a start.
    env -u PYTHONDONTWRITEBYTECODE "${accelerator[@]}" "$ATLAS_VENV/bin/python" scripts/show_versions.py > "$ATLAS_VENV/$VERSIONS_NAME"
}

fingerprint() { # fingerprint STACK VERSION: changes with whatever the installation depends on
    local files=("requirements/$1-py${2/./}.txt" pyproject.toml scripts/lib.sh)
    [[ "$1" == cpu ]] && files+=(requirements/torch-cpu.txt)
    echo "$1 $2 $(echo "$ATLAS_ROOT" | cat - "${files[@]}" | sha256sum | cut -d' ' -f1)"
}

editable_root() { # editable_root ENVIRONMENT: the checkout that is installed in it, or nothing
    "$1/bin/python" -c '
import json
from importlib.metadata import distribution
from urllib.parse import unquote, urlsplit
print(unquote(urlsplit(json.loads(distribution("atlas-teacher").read_text("direct_url.json"))["url"]).path))
' 2> /dev/null || true
}

check_checkout() { # check_checkout VERSION STACK: an environment belongs to one checkout, whose code it imports
    local other cpu=""
    # The environment inside a checkout is that checkout's, also after the checkout was moved or copied.
    [[ "$(realpath -m "$ATLAS_VENV")" != "$(realpath "$ATLAS_ROOT")"/* ]] || return 0
    other="$(editable_root "$ATLAS_VENV")"
    [[ -z "$other" || ! -d "$other" || "$(realpath "$other")" == "$(realpath "$ATLAS_ROOT")" ]] && return 0
    [[ "$2" != cpu ]] || cpu=" --cpu"
    fail "$ATLAS_VENV is the environment of another checkout, $other; installing this one would take it away from it." \
        "Make one for this checkout: cd $ATLAS_ROOT && env -u VIRTUAL_ENV bash scripts/install_py${1/./}.sh$cpu"
}

install_stack() { # install_stack VERSION STACK
    local version="$1" stack="$2" started="$SECONDS" stamp installed_stack
    cd "$ATLAS_ROOT" || exit 1
    check_platform
    ATLAS_VENV="$(chosen_environment)"
    INSTALL_LOG="$ATLAS_VENV/install.log"
    stamp="$ATLAS_VENV/$STAMP_NAME"
    if [[ -f "$stamp" && "$(cat "$stamp")" == "$(fingerprint "$stack" "$version")" ]]; then
        echo "The $stack stack for Python $version is installed in $ATLAS_VENV: nothing to do"
        sed 's/^/    /' "$ATLAS_VENV/$VERSIONS_NAME"
        return 0
    fi
    check_checkout "$version" "$stack"
    installed_stack="$(cut -d' ' -f1 "$stamp" 2> /dev/null || true)"
    [[ -z "$installed_stack" || "$installed_stack" == "$stack" ]] ||
        fail "$ATLAS_VENV holds the $installed_stack stack, and both stacks provide the same packages." \
            "Use another virtual environment for the $stack stack, or remove this one first."
    echo "Installing the $stack stack for Python $version"
    if [[ ! -f "$stamp" ]]; then
        mkdir -p "$ATLAS_VENV"
        check_disk "$ATLAS_VENV" "$([[ "$stack" == cpu ]] && echo 8 || echo 17)"
    fi
    : > "$INSTALL_LOG"
    use_environment "$version"
    if [[ "$stack" == gpu ]]; then
        check_builds "$ATLAS_VENV/bin/python" "$version"
        warn_of_gpu
    fi
    step "Fetching the installer" install_uv
    [[ "$stack" != cpu ]] || step "Installing torch, CPU build" install_torch_cpu
    step "Installing $(grep -c '^[a-z]' "requirements/$stack-py${version/./}.txt") locked packages" \
        install_locked "requirements/$stack-py${version/./}.txt"
    step "Installing ATLAS itself, editable" install_project
    step "Importing what was installed" show_versions "$stack"
    sed 's/^/    /' "$ATLAS_VENV/$VERSIONS_NAME"
    fingerprint "$stack" "$version" > "$stamp"
    echo "Installed in $(seconds_since "$started") s"
}

install_main() { # install_main VERSION [--cpu]: the command line of scripts/install_py3*.sh
    local version="$1" stack=gpu
    shift
    while (($# > 0)); do
        case "$1" in
            --cpu) stack=cpu ;;
            -h | --help) show_help "$0" && exit 0 ;;
            *) fail "$1 is not an option of $0." "Options: --cpu for a machine without GPU." ;;
        esac
        shift
    done
    install_stack "$version" "$stack"
}

install_what_is_missing() { # for the scripts that only need some working stack: the one in use, else the machine's
    local version stack
    version="$(preferred_version)"
    stack="$(preferred_stack)"
    install_stack "$version" "$stack"
    # The CPU builds know no GPU, so on a machine that has one nothing may plan with it.
    [[ "$stack" != cpu ]] || export CUDA_VISIBLE_DEVICES=""
    PATH="$ATLAS_VENV/bin:$PATH"
    export VIRTUAL_ENV="$ATLAS_VENV" PATH
}
