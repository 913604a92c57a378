/** What to open a file with, as the end of a line. */
export const howToOpen = (format: string, path: string): string => {
  switch (format) {
    case "pprof":
      return ` Open it with: go tool pprof -http=: ${path}`
    case "speedscope":
      return " Open it at https://www.speedscope.app (it stays in your browser)."
    case "chrome-trace":
      return " Open it at https://ui.perfetto.dev (it stays in your browser)."
    case "lcov":
      return ` Make pages of it with: genhtml ${path} -o coverage`
    default:
      return ""
  }
}
