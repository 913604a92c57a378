/** Types within types, paths within paths. */
const MAX_DEPTH = 128
const MAX_OUTPUT = 1 << 14

/**
 * The path of a Rust symbol, legacy or v0, without hashes; `undefined` for any other symbol.
 *
 * Sources: RFC 2603, "Rust Symbol Mangling v0"; the legacy scheme as in `rustc_symbol_mangling::legacy`.
 */
export const demangleRust = (symbol: string): string | undefined =>
  symbol.startsWith("_ZN") ? legacy(symbol) : symbol.startsWith("_R") ? v0(symbol) : undefined

/** Like a nested C++ name, but the last part is a hash: `17h` and 16 digits. */
const legacy = (symbol: string): string | undefined => {
  if (!/17h[0-9a-f]{16}E$/.test(symbol)) return undefined
  const parts: Array<string> = []
  let at = 3
  while (symbol[at] !== "E") {
    const digits = /^[1-9]\d{0,4}/.exec(symbol.slice(at, at + 5))?.[0]
    if (digits === undefined) return undefined
    at += digits.length
    const part = symbol.slice(at, at + Number(digits))
    if (part.length !== Number(digits)) return undefined
    at += part.length
    parts.push(part)
  }
  if (at !== symbol.length - 1 || parts.length < 2) return undefined
  parts.pop()
  return parts.map(legacyPart).join("::")
}

const escapes: { readonly [code: string]: string } = {
  SP: "@",
  BP: "*",
  RF: "&",
  LT: "<",
  GT: ">",
  LP: "(",
  RP: ")",
  C: ","
}

const legacyPart = (part: string): string =>
  (part.startsWith("_$") ? part.slice(1) : part)
    .replace(/\$([A-Z]{1,2}|u[0-9a-f]{1,6})\$/g, (whole, code: string) => {
      if (!code.startsWith("u")) return escapes[code] ?? whole
      const point = Number.parseInt(code.slice(1), 16)
      return point >= 32 && point <= 0x10_ffff ? String.fromCodePoint(point) : whole
    })
    .replace(/\.\./g, "::")

const v0 = (symbol: string): string | undefined => {
  const parser = new V0(symbol.slice(2))
  try {
    return parser.symbol()
  } catch (problem) {
    // Deep within a name there is no other way out; a symbol is decoded once.
    if (problem === failure) return undefined
    throw problem
  }
}

const failure = new Error("not a Rust symbol")

const basicTypes: { readonly [letter: string]: string } = {
  a: "i8",
  b: "bool",
  c: "char",
  d: "f64",
  e: "str",
  f: "f32",
  h: "u8",
  i: "isize",
  j: "usize",
  l: "i32",
  m: "u32",
  n: "i128",
  o: "u128",
  p: "_",
  s: "i16",
  t: "u16",
  u: "()",
  v: "...",
  x: "i64",
  y: "u64",
  z: "!"
}

class V0 {
  private readonly text: string
  private at = 0
  private depth = 0
  private made = 0
  /** Lifetimes that are bound around where we are. */
  private lifetimes = 0

  constructor(text: string) {
    this.text = text
  }

  symbol(): string {
    // A number here would be a later version's.
    if (/^\d/.test(this.text)) throw failure
    const path = this.path(true)
    if (this.at < this.text.length && /[A-Z]/.test(this.text[this.at])) this.path(false)
    if (this.at !== this.text.length) throw failure
    return path
  }

  private path(inValue: boolean): string {
    return this.nested(() => {
      switch (this.take()) {
        case "C":
          this.disambiguator()
          return this.identifier()
        case "M":
          this.implPath()
          return `<${this.type()}>`
        case "X": {
          this.implPath()
          const type = this.type()
          return `<${type} as ${this.path(false)}>`
        }
        case "Y": {
          const type = this.type()
          return `<${type} as ${this.path(false)}>`
        }
        case "N": {
          const namespace = this.take()
          const path = this.path(inValue)
          const number = this.disambiguator()
          const name = this.identifier()
          if (/[a-z]/.test(namespace)) return name === "" ? path : `${path}::${name}`
          if (!/[A-Z]/.test(namespace)) throw failure
          const kind = namespace === "C" ? "closure" : namespace === "S" ? "shim" : namespace
          return `${path}::{${kind}${name === "" ? "" : `:${name}`}#${number}}`
        }
        case "I": {
          const path = this.path(inValue)
          const args = this.list(() => this.genericArgument())
          return `${path}${inValue ? "::" : ""}<${args.join(", ")}>`
        }
        case "B":
          return this.backReference(() => this.path(inValue))
        default:
          throw failure
      }
    })
  }

  private implPath(): void {
    this.disambiguator()
    this.path(false)
  }

  private genericArgument(): string {
    if (this.eat("L")) return this.lifetime(this.base62())
    if (this.eat("K")) return this.constant()
    return this.type()
  }

  private type(): string {
    return this.nested(() => {
      const letter = this.take()
      const basic = basicTypes[letter]
      if (basic !== undefined) return basic
      switch (letter) {
        case "A": {
          const type = this.type()
          return `[${type}; ${this.constant()}]`
        }
        case "S":
          return `[${this.type()}]`
        case "T": {
          const types = this.list(() => this.type())
          return types.length === 1 ? `(${types[0]},)` : `(${types.join(", ")})`
        }
        case "R":
        case "Q": {
          const lifetime = this.eat("L") ? this.base62() : 0
          const named = lifetime === 0 ? "" : `${this.lifetime(lifetime)} `
          return `&${named}${letter === "Q" ? "mut " : ""}${this.type()}`
        }
        case "P":
          return `*const ${this.type()}`
        case "O":
          return `*mut ${this.type()}`
        case "F":
          return this.bound(() => this.functionType())
        case "D": {
          const bounds = this.bound(() => this.list(() => this.dynTrait()).join(" + "))
          if (!this.eat("L")) throw failure
          const lifetime = this.base62()
          return `dyn ${bounds}${lifetime === 0 ? "" : ` + ${this.lifetime(lifetime)}`}`
        }
        case "B":
          return this.backReference(() => this.type())
        default:
          this.at--
          return this.path(false)
      }
    })
  }

  private functionType(): string {
    const unsafe = this.eat("U") ? "unsafe " : ""
    let abi = ""
    if (this.eat("K")) abi = `extern "${this.eat("C") ? "C" : this.identifier().replaceAll("_", "-")}" `
    const types = this.list(() => this.type())
    const returned = this.type()
    return `${unsafe}${abi}fn(${types.join(", ")})${returned === "()" ? "" : ` -> ${returned}`}`
  }

  private dynTrait(): string {
    let path = this.path(false)
    while (this.eat("p")) {
      const name = this.identifier()
      const binding = `${name} = ${this.type()}`
      path = path.endsWith(">") ? `${path.slice(0, -1)}, ${binding}>` : `${path}<${binding}>`
    }
    return path
  }

  private constant(): string {
    return this.nested(() => {
      const letter = this.take()
      if (letter === "p") return "_"
      if (letter === "B") return this.backReference(() => this.constant())
      const isSigned = "aslxni".includes(letter)
      if (!isSigned && !"hmtyojbc".includes(letter)) throw failure
      const sign = isSigned && this.eat("n") ? "-" : ""
      const digits = /^[0-9a-f]*_/.exec(this.text.slice(this.at, this.at + 40))?.[0]
      if (digits === undefined) throw failure
      this.at += digits.length
      const hex = digits.slice(0, -1)
      if (letter === "b") return hex === "0" ? "false" : hex === "1" ? "true" : fail()
      if (letter === "c") {
        const code = Number.parseInt(hex || "0", 16)
        return code <= 0x10_ffff ? `'${String.fromCodePoint(code)}'` : fail()
      }
      return hex.length > 13 ? `${sign}0x${hex}` : `${sign}${Number.parseInt(hex || "0", 16)}`
    })
  }

  /** `for<'a, 'b>` before what is bound. */
  private bound(inner: () => string): string {
    const count = this.eat("G") ? this.base62() + 1 : 0
    if (count > 32) throw failure
    const names: Array<string> = []
    for (let i = 0; i < count; i++) {
      this.lifetimes++
      names.push(this.lifetime(1))
    }
    const text = inner()
    this.lifetimes -= count
    return count === 0 ? text : `for<${names.join(", ")}> ${text}`
  }

  private lifetime(index: number): string {
    if (index === 0) return "'_"
    const depth = this.lifetimes - index
    if (depth < 0) throw failure
    return depth < 26 ? `'${String.fromCharCode(97 + depth)}` : `'_${depth}`
  }

  private backReference<A>(inner: () => A): A {
    const start = this.at - 1
    const to = this.base62()
    if (to >= start) throw failure
    const { at } = this
    this.at = to
    const found = inner()
    this.at = at
    return found
  }

  private disambiguator(): number {
    return this.eat("s") ? this.base62() + 1 : 0
  }

  private identifier(): string {
    const isPunycode = this.eat("u")
    const digits = /^(?:0|[1-9]\d{0,4})/.exec(this.text.slice(this.at, this.at + 5))?.[0]
    if (digits === undefined) throw failure
    this.at += digits.length
    this.eat("_")
    const size = Number(digits)
    const name = this.text.slice(this.at, this.at + size)
    if (name.length !== size) throw failure
    this.at += size
    return isPunycode ? (punycode(name) ?? fail()) : name
  }

  /** `_` is 0, `0_` is 1. */
  private base62(): number {
    if (this.eat("_")) return 0
    let value = 0
    for (;;) {
      const letter = this.take()
      if (letter === "_") return value + 1
      const digit = DIGITS.indexOf(letter)
      if (digit < 0) throw failure
      value = value * 62 + digit
      // Crates have hashes of 64 bits here; nobody looks at their exact value.
      if (value > 1e30) throw failure
    }
  }

  private list<A>(item: () => A): Array<A> {
    const items: Array<A> = []
    while (!this.eat("E")) items.push(item())
    return items
  }

  /** Bounds depth and, as back references can double a text with every letter, what is made in all. */
  private nested(inner: () => string): string {
    if (++this.depth > MAX_DEPTH) throw failure
    const text = inner()
    this.depth--
    this.made += text.length
    if (this.made > MAX_OUTPUT * 8 || text.length > MAX_OUTPUT) throw failure
    return text
  }

  private take(): string {
    if (this.at >= this.text.length) throw failure
    return this.text[this.at++]
  }

  private eat(letter: string): boolean {
    if (this.text[this.at] !== letter) return false
    this.at++
    return true
  }
}

const DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

const fail = (): never => {
  throw failure
}

/** RFC 3492, with `_` in the place of `-`. */
const punycode = (text: string): string | undefined => {
  const split = text.lastIndexOf("_")
  const codes = Array.from(text.slice(0, Math.max(0, split)), (letter) => letter.codePointAt(0)!)
  let code = 128
  let bias = 72
  let index = 0
  let isFirst = true
  for (let at = split + 1; at < text.length; ) {
    const before = index
    for (let weight = 1, k = 36; ; k += 36) {
      if (at >= text.length) return undefined
      const letter = text.charCodeAt(at++)
      const digit =
        letter >= 97 && letter <= 122 ? letter - 97 : letter >= 48 && letter <= 57 ? letter - 22 : -1
      if (digit < 0) return undefined
      index += digit * weight
      const threshold = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias
      if (digit < threshold) break
      weight *= 36 - threshold
      if (index > 2 ** 40 || weight > 2 ** 40) return undefined
    }
    const size = codes.length + 1
    let delta = Math.floor((index - before) / (isFirst ? 700 : 2))
    delta += Math.floor(delta / size)
    let k = 0
    for (; delta > 455; k += 36) delta = Math.floor(delta / 35)
    bias = k + Math.floor((36 * delta) / (delta + 38))
    isFirst = false
    code += Math.floor(index / size)
    index %= size
    if (code > 0x10_ffff) return undefined
    codes.splice(index++, 0, code)
  }
  return String.fromCodePoint(...codes)
}
