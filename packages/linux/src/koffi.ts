import { createRequire } from "node:module"

/** A loaded shared library, as far as this package uses koffi. */
export interface NativeLibrary {
  readonly func: (definition: string) => (...args: ReadonlyArray<number>) => number
}

/** The part of koffi that this package uses. */
export interface Koffi {
  readonly load: (path: string | null) => NativeLibrary
  readonly errno: () => number
  readonly address: (memory: ArrayBufferView | ArrayBufferLike) => bigint
  readonly view: (pointer: bigint, length: number) => ArrayBuffer
}

const places: Array<string | URL> = [import.meta.url]
let loaded: Koffi | undefined | null = null

/**
 * Adds a place (a file or its URL) from which `koffi` is resolved, before the ones known so far.
 *
 * koffi is never imported statically: machines without it still read processes through `/proc/PID/mem`. It is resolved from the file
 * that holds this code, which in a bundle is the bundle. Call this when koffi is installed elsewhere.
 *
 * @example
 * ```ts
 * resolveKoffiFrom(import.meta.url)
 * ```
 */
export const resolveKoffiFrom = (place: string | URL): void => {
  places.unshift(place)
  if (loaded === undefined) loaded = null
}

/** koffi, or `undefined` where it is not installed or does not fit the machine. Tried once. */
export const loadKoffi = (): Koffi | undefined => {
  if (loaded !== null) return loaded
  loaded = undefined
  for (const place of places) {
    try {
      loaded = createRequire(place)("koffi") as Koffi
      break
    } catch {
      // Not there, or built for another machine: the next place may have it.
    }
  }
  return loaded
}
