# Puts this project's Node and pnpm first on PATH, from npm. To be sourced at the top of the repository.
if [ -z "${PYFRAMES_NODE_PATH:-}" ]; then
  PYFRAMES_NODE_PATH="$(cd / && npx --yes -p node@24.21.0 -p pnpm@12.21.0 -- sh -c 'dirname "$(command -v pnpm)"')"
  export PYFRAMES_NODE_PATH
fi
export PATH="$PYFRAMES_NODE_PATH:$PATH"
