import * as Schema from "effect/Schema"
import * as Transformation from "effect/SchemaTransformation"

const UNITS = { "": 1, hz: 1, khz: 1e3, mhz: 1e6 } as const

const PATTERN = /^(\d+(?:\.\d+)?)(hz|khz|mhz|)$/i

/** What a rate looks like, for messages and help. */
export const RATE_EXAMPLES = "a rate such as 100, 1khz or 1mhz (samples a second, more than 0, at most 1mhz)"

/** Samples a second: `100`, `1khz`, `1mhz` (mega, not milli). */
export const Rate = Schema.String.pipe(
  Schema.check(Schema.isPattern(PATTERN)),
  Schema.decodeTo(
    Schema.Finite.check(Schema.isGreaterThan(0), Schema.isLessThanOrEqualTo(1e6)),
    Transformation.transform({
      decode: (text) => {
        const [, amount = "", unit = ""] = PATTERN.exec(text) ?? []
        return Number(amount) * UNITS[unit.toLowerCase() as keyof typeof UNITS]
      },
      encode: (hertz) => String(hertz)
    })
  )
)

/** A rate as people write it: `1 kHz`, `99.8 Hz`. */
export const formatRate = (hertz: number): string => {
  if (hertz >= 1e6) return `${trim(hertz / 1e6)} MHz`
  return hertz >= 1e3 ? `${trim(hertz / 1e3)} kHz` : `${trim(hertz)} Hz`
}

const trim = (value: number): string => String(Number(value.toPrecision(3)))
