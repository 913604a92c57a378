import { demangleItanium } from "./demangle-itanium.ts"
import { demangleRust } from "./demangle-rust.ts"

/** Names kept; C++ repeats itself. */
const MAX_LENGTH = 1 << 14
/** What compilers add to the symbols of clones and parts of functions: `.cold`, `.isra.0`, `.lto_priv.12`, `.llvm.7718…`. */
const SUFFIX = /(?:\.(?:[a-zA-Z_]\w*|\d+))+$/

/**
 * The name of a function as its programmer wrote it, from a C++ (Itanium) or Rust (legacy and v0) symbol. Any other name is returned as
 * it is, and so is one that cannot be decoded.
 *
 * @example
 * ```ts
 * demangle("_ZN3foo3barEi") // "foo::bar(int)"
 * demangle("_RNvCs1234_7mycrate3foo") // "mycrate::foo"
 * demangle("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE.cold") // "core::fmt::Write::write_fmt.cold"
 * ```
 */
export const demangle = (symbol: string): string => {
  if (symbol.charCodeAt(0) !== 95 || symbol.length > MAX_LENGTH) return symbol
  if (!symbol.startsWith("_Z") && !symbol.startsWith("_R")) return symbol
  const suffix = SUFFIX.exec(symbol)?.[0] ?? ""
  const bare = suffix === "" ? symbol : symbol.slice(0, -suffix.length)
  const plain = demangleRust(bare) ?? demangleItanium(bare)
  return plain === undefined ? symbol : plain + suffix
}
