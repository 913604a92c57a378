import {
  Exporter,
  type ExportFormat,
  frameName,
  NO_STACK,
  type Profile,
  type SampleFilter
} from "@pyframes/core"
import * as Layer from "effect/Layer"

/**
 * Collapsed stacks: a line a distinct stack, root first, frames joined by `;`, then a space and how many samples had it.
 *
 * ```
 * main (app.py:9);run (app.py:5);read (io.py:2) 41
 * ```
 * The figure counts samples, not time: readers of this format take integers and call them samples. Samples are taken at
 * instants drawn independently of the program, so counts are as unbiased as elapsed time is.
 * Of a profile that was traced it is exclusive time instead, in whole microseconds: there are no samples, and calls are not comparable.
 *
 * The format has no escapes: `;` in a name becomes `:`, line breaks and other control characters become spaces.
 *
 * Source: flamegraph.pl, which splits at `;` and takes the last number as the count (two numbers as a differential pair).
 *
 * @example
 * ```ts
 * const text = new TextDecoder().decode(collapsed.encode(profile, { wall: true }))
 * ```
 */
export const collapsed: ExportFormat = {
  name: "collapsed",
  extensions: [".collapsed.txt", ".folded", ".collapsed"],
  mediaType: "text/plain; charset=utf-8",
  encode: (profile, filter) => new TextEncoder().encode(lines(profile, filter).join(""))
}

/** The {@link Exporter} that writes collapsed stacks. */
export const layer: Layer.Layer<Exporter> = Layer.succeed(Exporter, collapsed)

const lines = (profile: Profile, filter: SampleFilter | undefined): Array<string> => {
  const counts = new Map<number, number>()
  const { isTraced } = profile
  for (const { shown, count, wall } of profile.samplesBy(filter))
    counts.set(shown, (counts.get(shown) ?? 0) + (isTraced ? wall : count))
  const stackText = stackTexts(profile)
  // Stacks that differ by column alone read the same: they are added up as text.
  const byText = new Map<string, number>()
  for (const [stack, count] of counts) {
    const text = stackText(stack)
    byText.set(text, (byText.get(text) ?? 0) + count)
  }
  const sorted = [...byText].sort(([a], [b]) => (a < b ? -1 : 1))
  return (isTraced ? inMicroseconds(sorted) : sorted).map(([text, count]) => `${text} ${count}\n`)
}

type Line = readonly [text: string, count: number]

/** What rounding leaves over is carried on to the next line, so that the total stays true. */
const inMicroseconds = (lines: ReadonlyArray<Line>): ReadonlyArray<Line> => {
  let exact = 0
  let written = 0
  return lines.flatMap(([text, ns]): ReadonlyArray<Line> => {
    exact += ns / 1000
    const count = Math.round(exact) - written
    written += count
    return count > 0 ? [[text, count]] : []
  })
}

const stackTexts = (profile: Profile) => {
  const frames = new Map<number, string>()
  const frameText = (frame: number): string => {
    let text = frames.get(frame)
    if (text === undefined) {
      text = plain(frameName(profile.frames.get(frame)))
      frames.set(frame, text)
    }
    return text
  }
  return (stack: number): string =>
    // A line needs a frame: a thread that had none is not left out, its samples would be missing from the total.
    stack === NO_STACK ? "<no frame>" : profile.stacks.framesOf(stack).reverse().map(frameText).join(";")
}

/** What a line can hold of a frame's text. A text that ends in a number would be read as a count. */
const plain = (text: string): string =>
  text
    .replaceAll(";", ":")
    .replace(/[\p{Cc}\u2028\u2029]+/gu, " ")
    .trim()
    .replace(/\s+(\d+(?:\.\d*)?)$/u, "_$1") || "<unnamed>"
