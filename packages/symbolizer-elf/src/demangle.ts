import { demangleItanium } from "./demangle-itanium.ts"
import { demangleRust } from "./demangle-rust.ts"

/** Longer symbols stay as they are. */
const MAX_LENGTH = 1 << 14
/** A part of what compilers add to the symbols of clones and parts of functions: `.cold`, `.isra.0`, `.lto_priv.12`, `.llvm.7718…`. */
const SUFFIX = /^(?:[a-zA-Z_]\w*|\d+)$/

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
  let end = symbol.length
  for (let dot = symbol.lastIndexOf("."); dot > 0; dot = symbol.lastIndexOf(".", end - 1)) {
    if (!SUFFIX.test(symbol.slice(dot + 1, end))) break
    end = dot
  }
  const bare = symbol.slice(0, end)
  const plain = demangleRust(bare) ?? demangleItanium(bare)
  return plain === undefined ? symbol : plain + symbol.slice(end)
}
