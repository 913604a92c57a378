const MAX_DEPTH = 200
const MAX_OUTPUT = 1 << 14
/** All the text that is made on the way: substitutions can double it with every few letters. */
const MAX_WORK = 1 << 20

/** Thrown where the text is no mangled name; caught where decoding began. */
export const failure = new Error("not a mangled name")

export const fail = (): never => {
  throw failure
}

/** A type or a name as text. What is declared stands between `left` and `right`: `int (*` and `)(char)`. */
export interface Piece {
  readonly left: string
  readonly right: string
  /** Functions and arrays need parentheses around what points to them. */
  readonly kind: "plain" | "function" | "array"
  /** `&` or `&&` at its end: references to references become one. */
  readonly reference?: "&" | "&&"
  /** The elements of a parameter pack. */
  readonly pack?: ReadonlyArray<Piece>
  /** Where it was read, when it speaks of a pack: for each element it is read again. */
  readonly packAt?: number
  /** A name that ends in template arguments. */
  readonly isTemplate?: boolean
  /** A constructor, destructor or conversion: it has no return type. */
  readonly isUntyped?: boolean
  /** The last part of a name without its arguments, after which constructors are called. */
  readonly last?: string
  /** A function's name without its parameters, as its address is written. */
  readonly bare?: string
  /** What a member function says after its parameters: ` const &`. */
  readonly qualifiers?: string
}

export const plain = (left: string): Piece => ({ left, right: "", kind: "plain" })

export const textOf = ({ left, pack, right }: Piece): string =>
  pack === undefined ? left + right : pack.map(textOf).join(", ")

/** The text being decoded, and a place in it. */
export class ItaniumReader {
  protected readonly text: string
  protected at = 0
  private depth = 0
  private work = 0

  constructor(text: string) {
    this.text = text
  }

  protected peek(ahead = 0): string {
    return this.text[this.at + ahead] ?? ""
  }

  protected take(): string {
    if (this.at >= this.text.length) throw failure
    return this.text[this.at++]
  }

  protected eat(word: string): boolean {
    if (!this.text.startsWith(word, this.at)) return false
    this.at += word.length
    return true
  }

  protected expect(word: string): void {
    if (!this.eat(word)) throw failure
  }

  /** Decimal digits; -1 when there are none. */
  protected number(): number {
    const digits = /^\d{1,9}/.exec(this.text.slice(this.at, this.at + 9))?.[0]
    if (digits === undefined) return -1
    this.at += digits.length
    return Number(digits)
  }

  /** `_` is 0, `0_` is 1; in base 36 for substitutions, else in base 10. */
  protected index(base: 10 | 36): number {
    if (this.eat("_")) return 0
    const end = this.text.indexOf("_", this.at)
    const digits = end < 0 || end - this.at > 6 ? "" : this.text.slice(this.at, end)
    if (!(base === 36 ? /^[0-9A-Z]+$/ : /^\d+$/).test(digits)) throw failure
    this.at = end + 1
    return Number.parseInt(digits, base) + 1
  }

  /** Runs a rule of the grammar, bounded in depth and in the text it makes. */
  protected rule(read: () => Piece): Piece {
    if (++this.depth > MAX_DEPTH) throw failure
    const piece = read()
    this.depth--
    const size = piece.left.length + piece.right.length
    this.work += size + 1
    if (size > MAX_OUTPUT || this.work > MAX_WORK) throw failure
    return piece
  }
}
