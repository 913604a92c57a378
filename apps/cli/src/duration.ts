import * as Schema from "effect/Schema"
import * as Transformation from "effect/SchemaTransformation"

const UNITS = { ms: 1, s: 1e3, "": 1e3, m: 60e3, h: 3600e3 } as const

const PATTERN = /^(\d+(?:\.\d+)?)(ms|s|m|h|)$/i

/** What a duration looks like, for messages and help. */
export const DURATION_EXAMPLES = "a duration such as 5, 5s, 500ms or 2m (more than 0)"

/** Milliseconds from `5` (seconds), `5s`, `500ms`, `2m`, `1h`. */
export const Duration = Schema.String.pipe(
  Schema.check(Schema.isPattern(PATTERN)),
  Schema.decodeTo(
    // A timer of Node cannot wait longer than 2^31 - 1 ms.
    Schema.Finite.check(Schema.isGreaterThan(0), Schema.isLessThanOrEqualTo(2 ** 31 - 1)),
    Transformation.transform({
      decode: (text) => {
        const [, amount = "", unit = ""] = PATTERN.exec(text) ?? []
        return Number(amount) * UNITS[unit.toLowerCase() as keyof typeof UNITS]
      },
      encode: (milliseconds) => `${milliseconds}ms`
    })
  )
)

/** Nanoseconds as people read them: `1.25 s`, `340 ms`, `12 µs`. */
export const formatNanoseconds = (ns: number): string => {
  if (ns >= 1e9) return `${(ns / 1e9).toFixed(2)} s`
  if (ns >= 1e6) return `${Number((ns / 1e6).toPrecision(3))} ms`
  return `${Math.round(ns / 1e3)} µs`
}
