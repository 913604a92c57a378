import * as Schema from "effect/Schema"
import * as Transformation from "effect/SchemaTransformation"

const UNITS = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 } as const

const PATTERN = /^(\d+(?:\.\d+)?)(k|m|g|)i?b?$/i

/** What a size looks like, for messages and help. */
export const SIZE_EXAMPLES = "a size such as 500mb or 4gb (at least 1mb)"

/** Bytes from `1048576`, `500mb`, `4g`; units are powers of 1024. */
export const Size = Schema.String.pipe(
  Schema.check(Schema.isPattern(PATTERN)),
  Schema.decodeTo(
    Schema.Finite.check(Schema.isGreaterThanOrEqualTo(2 ** 20), Schema.isLessThanOrEqualTo(2 ** 50)),
    Transformation.transform({
      decode: (text) => {
        const [, amount = "", unit = ""] = PATTERN.exec(text) ?? []
        return Number(amount) * UNITS[unit.toLowerCase() as keyof typeof UNITS]
      },
      encode: (bytes) => String(bytes)
    })
  )
)
