# Sourced by scripts/run and scripts/test: makes sure that the build tools and libraries are here, asking apt only for
# what is missing, then configures and builds one preset. Needs root or sudo only when something is missing.

packages=(g++ cmake ninja-build git ccache libboost-graph-dev libboost-program-options-dev nlohmann-json3-dev libeigen3-dev libfmt-dev doctest-dev zlib1g-dev)
test_packages=(python3)
clang_packages=(clang clang-format clang-tidy libclang-rt-dev libomp-dev)  # of the sanitizers, fuzz targets and static checks

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null)" = "ii " ]; }

require_packages() {
  local missing=() name as_root=()
  for name in "$@"; do is_installed "$name" || missing+=("$name"); done
  [ ${#missing[@]} -eq 0 ] && return
  if ! command -v apt-get >/dev/null; then
    echo "error: needs Debian 12 or Ubuntu 22.04 or newer; elsewhere install the equivalents of: ${missing[*]}" >&2
    exit 1
  fi
  if [ "$(id -u)" -ne 0 ]; then
    # Asks for a password only where somebody can type one.
    if sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null; }; then
      as_root=(sudo)
    else
      echo "error: missing packages and no right to install them; ask for: apt-get install ${missing[*]}" >&2
      exit 1
    fi
  fi
  echo "installing: ${missing[*]}" >&2
  local log
  log=$(mktemp)
  if ! { "${as_root[@]}" apt-get update && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
         apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "error: apt could not install: ${missing[*]} (whole log: $log)" >&2
    exit 1
  fi
  rm -f "$log"
  installed_now=yes
}

# The browser tests need Node.js, Debian's chromium and two npm packages. Where these cannot be had, the tests say that
# they are skipped, and all others run.
browser_tools() {
  local tools=()
  command -v node >/dev/null && command -v npm >/dev/null || tools+=(nodejs npm)
  [ -x /usr/bin/chromium ] || tools+=(chromium)
  if [ ${#tools[@]} -gt 0 ] && ! (require_packages "${tools[@]}"); then
    echo "without them the browser tests are skipped" >&2
    return 0
  fi
  [ -d tests/browser/node_modules/playwright-core ] && [ -d tests/browser/node_modules/ajv ] && return 0
  echo "installing the npm packages of the browser tests" >&2
  npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund >/dev/null ||
    echo "npm could not install them: the browser tests are skipped" >&2
}

# Where a terminal looks on, one line that moves; silent elsewhere. Reads ninja's output, "[57/88] Building ...", and
# says nothing where there is nothing to build.
progress() {
  local line
  if [ ! -t 2 ]; then
    cat >/dev/null
    return
  fi
  while IFS= read -r line; do
    if [[ $line =~ ^\[([0-9]+)/([0-9]+)\]\ (Building|Linking) ]]; then
      printf '\rbuilding Hourglass: %s of %s \e[K' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" >&2
    fi
  done
  printf '\r\e[K' >&2
}

# Configures a preset; the arguments after it are cmake's.
configure() {
  build_log=$(mktemp)
  cmake --preset "$@" >"$build_log" 2>&1 || { cat "$build_log" >&2; echo "error: cmake could not configure" >&2; exit 1; }
  rm -f "$build_log"
}

is_configured() { [ -f "build/$1/build.ninja" ]; }

# Whether CMake was told to leave CUDA for LATER (kernels/cuda/find.cmake), or was not yet asked.
cuda_waits() { grep -q '^HOURGLASS_CUDA:STRING=LATER' "build/$1/CMakeCache.txt"; }

# build PRESET TARGET...: the compiler's words where it fails, little where it works.
build() {
  local preset=$1 status=0
  shift
  # What was installed a moment ago may change what is built.
  [ -n "${installed_now:-}" ] && configure "$preset"
  build_log=$(mktemp)
  # Without ccache's run of the preprocessor before every compilation: the compiler lists the headers it read.
  CCACHE_DEPEND=1 NINJA_STATUS='[%f/%t] ' cmake --build --preset "$preset" --target "$@" 2>&1 | tee "$build_log" | progress ||
    status=$?
  if [ "$status" -ne 0 ]; then
    grep -v '^\[[0-9]*/[0-9]*\] ' "$build_log" >&2
    echo "error: the build failed" >&2
    exit 1
  fi
  rm -f "$build_log"
}

# Ctrl-C: the compilers get it too; nothing is left but what they finished.
build_log=
interrupted() {
  [ -t 2 ] && printf '\r\e[K' >&2
  rm -f "$build_log"
  echo "interrupted; the next start goes on from here" >&2
  exit 130
}
trap interrupted INT
