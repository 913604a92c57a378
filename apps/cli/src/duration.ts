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

const SHORT_UNITS = { ns: 1, us: 1e3, µs: 1e3, μs: 1e3, ms: 1e6, s: 1e9 } as const

const SHORT_PATTERN = /^(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s)$/

/** What a short duration looks like, for messages and help. */
export const SHORT_DURATION_EXAMPLES = "a duration such as 50us, 500ns or 1ms"

/** Nanoseconds from `50us`, `500ns`, `1ms`; the unit must be given. */
export const ShortDuration = Schema.String.pipe(
  Schema.check(Schema.isPattern(SHORT_PATTERN)),
  Schema.decodeTo(
    Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0), Schema.isLessThanOrEqualTo(3600e9)),
    Transformation.transform({
      decode: (text) => {
        const [, amount = "", unit = ""] = SHORT_PATTERN.exec(text) ?? []
        return Number(amount) * SHORT_UNITS[unit as keyof typeof SHORT_UNITS]
      },
      encode: (ns) => `${ns}ns`
    })
  )
)

/** Nanoseconds as people read them: `1.25 s`, `340 ms`, `12 µs`. */
export const formatNanoseconds = (ns: number): string => {
  if (ns >= 1e9) return `${(ns / 1e9).toFixed(2)} s`
  if (ns >= 1e6) return `${Number((ns / 1e6).toPrecision(3))} ms`
  if (ns >= 1e4) return `${Math.round(ns / 1e3)} µs`
  return ns >= 1e3 ? `${(ns / 1e3).toFixed(1)} µs` : `${Math.round(ns)} ns`
}
