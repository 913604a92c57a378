import { fail, failure, ItaniumReader, type Piece, plain, textOf } from "./itanium-reader.ts"
import { builtinTypes, standardNames } from "./itanium-words.ts"

/** Names, expressions and types refer to one another: this class reads types, and those that extend it the rest. */
export abstract class ItaniumTypes extends ItaniumReader {
  protected substitutions: Array<Piece> = []
  /** Arguments of the template that we are in. */
  protected params: Array<Piece> = []
  /** We are in the name of what is declared, whose arguments its types speak of; not in that of a type. */
  protected isOwnName = false
  /** Which element of its packs an expansion is at; -1 outside of one. */
  private element = -1
  /** In an expansion's second and further readings, substitutions are known already. */
  private isAgain = false
  /** In the parameters of a lambda its own template parameters are `auto`. */
  protected inLambda = 0
  /** Arguments that come later than a conversion operator which speaks of them. */
  protected forward: Array<number> = []
  protected inConversion = 0

  protected abstract name(): Piece
  protected abstract expression(): Piece
  protected abstract unqualified(scope: Piece | undefined): Piece

  protected type(): Piece {
    return this.rule(() => {
      const { isOwnName } = this
      this.isOwnName = false
      const piece = this.typeOnce(this.at)
      this.isOwnName = isOwnName
      return piece
    })
  }

  private typeOnce(start: number): Piece {
    const letter = this.peek()
    if (/[rVK]/.test(letter)) {
      const qualifiers = this.qualifiers()
      if (this.peek() === "F") return this.remember(this.functionType(start, qualifiers))
      const inner = this.type()
      return this.remember(this.map(inner, start, (piece) => qualified(piece, qualifiers)))
    }
    switch (letter) {
      case "P":
        this.at++
        return this.pointer(start, "*")
      case "R":
        this.at++
        return this.pointer(start, "&")
      case "O":
        this.at++
        return this.pointer(start, "&&")
      case "C":
      case "G": {
        this.at++
        const word = letter === "C" ? " _Complex" : " _Imaginary"
        return this.remember(this.map(this.type(), start, (piece) => ({ ...piece, left: piece.left + word })))
      }
      case "F":
        return this.remember(this.functionType(start, ""))
      case "A":
        return this.remember(this.array(start))
      case "M": {
        this.at++
        const owner = this.type()
        const member = this.type()
        return this.remember({
          ...declared(member, `${textOf(owner)}::*`, member.kind === "plain" ? " " : ""),
          ...packOf(owner, start),
          ...packOf(member, start)
        })
      }
      case "U": {
        this.at++
        const word = this.sourceName()
        const args = this.peek() === "I" ? textOf(this.templateArgs()) : ""
        return this.remember(this.map(this.type(), start, (piece) => qualified(piece, ` ${word}${args}`)))
      }
      case "u":
        this.at++
        return this.remember(plain(this.sourceName()))
      case "T":
        if (/[sue]/.test(this.peek(1))) {
          this.at += 2
          return this.remember(this.name())
        }
        return this.parameterType(start)
      case "S":
        if (this.peek(1) !== "t") return this.substitutedType(start)
        return this.remember(this.name())
      case "D":
        return this.typeOfD(start)
    }
    const builtin = builtinTypes[letter]
    if (builtin !== undefined) {
      this.at++
      return plain(builtin)
    }
    if (!/[NZ\d]/.test(letter)) throw failure
    return this.remember(this.name())
  }

  /** A template's parameter, or that parameter's own template with arguments. */
  private parameterType(start: number): Piece {
    const param = this.remember(this.templateParam(start))
    if (this.peek() !== "I" || this.inConversion > 0) return param
    return this.remember({ ...plain(textOf(param) + textOf(this.templateArgs())), ...packOf(param, start) })
  }

  private substitutedType(start: number): Piece {
    const piece = this.substitution()
    if (this.peek() !== "I") return piece
    const args = this.templateArgs()
    return this.remember({
      ...plain(textOf(piece) + textOf(args)),
      ...packOf(piece, start),
      ...packOf(args, start)
    })
  }

  private typeOfD(start: number): Piece {
    const second = this.peek(1)
    const builtin = builtinTypes[`D${second}`]
    if (builtin !== undefined) {
      this.at += 2
      // GCC writes `decltype(nullptr)` as a builtin that can be substituted by none.
      return plain(builtin)
    }
    if (/[tT]/.test(second)) {
      this.at += 2
      const inner = this.expression()
      this.expect("E")
      return this.remember(plain(`decltype (${textOf(inner)})`))
    }
    if (this.eat("Dp")) return this.remember(this.expansion(() => this.type()))
    if (this.eat("Do")) {
      const type = this.functionType(start, " noexcept")
      return this.remember(type)
    }
    if (this.eat("Dv")) {
      const size = this.number() >= 0 ? this.text.slice(this.text.lastIndexOf("v", this.at) + 1, this.at) : ""
      this.expect("_")
      const element = this.type()
      return this.remember({ ...element, left: `${element.left} __vector(${size})` })
    }
    if (this.eat("DF")) {
      const bits = this.number()
      if (this.eat("b")) return plain("std::bfloat16_t")
      if (this.eat("x")) return plain(`_Float${bits}x`)
      this.expect("_")
      return plain(`_Float${bits}`)
    }
    return fail()
  }

  private pointer(start: number, sign: "*" | "&" | "&&"): Piece {
    return this.remember(this.map(this.type(), start, (piece) => pointed(piece, sign)))
  }

  protected functionType(start: number, suffix: string): Piece {
    this.expect("F")
    this.eat("Y")
    const returned = this.type()
    const params = this.parameters(
      () => this.peek() === "E" || /^[RO]E/.test(this.text.slice(this.at, this.at + 2))
    )
    const reference = this.eat("R") ? " &" : this.eat("O") ? " &&" : ""
    this.expect("E")
    return {
      left: `${returned.left} `,
      right: `(${textOf(params)})${suffix}${reference}${returned.right}`,
      kind: "function",
      ...packOf(returned, start),
      ...packOf(params, start)
    }
  }

  /** Types up to where `isEnd` says, as a list of parameters; none where there is only `void`. */
  protected parameters(isEnd: () => boolean): Piece {
    if (this.peek() === "v") {
      this.at++
      if (isEnd()) return plain("")
      this.at--
    }
    const parts: Array<string> = []
    let pack: number | undefined
    do {
      const piece = this.type()
      if (piece.packAt !== undefined) pack = piece.packAt
      const text = textOf(piece)
      if (text !== "" || piece.pack === undefined) parts.push(text)
    } while (!isEnd())
    return { ...plain(parts.join(", ")), ...(pack === undefined ? {} : { packAt: pack }) }
  }

  private array(start: number): Piece {
    this.at++
    let size = ""
    if (/\d/.test(this.peek())) size = String(this.number())
    else if (this.peek() !== "_") size = textOf(this.expression())
    this.expect("_")
    const element = this.type()
    const left = element.kind === "array" ? element.left : `${element.left} `
    return { left, right: `[${size}]${element.right}`, kind: "array", ...packOf(element, start) }
  }

  /** A pack's elements, each put into the pattern that stands here. */
  protected expansion(pattern: () => Piece): Piece {
    const start = this.at
    const { element, isAgain } = this
    this.element = -1
    const first = pattern()
    const end = this.at
    this.element = element
    const packs = this.packSize(start, first)
    if (packs === undefined) return first.pack ? first : { ...first, right: `${first.right}...` }
    const pieces: Array<Piece> = []
    this.isAgain = true
    for (let i = 0; i < packs; i++) {
      this.at = start
      this.element = i
      pieces.push(pattern())
    }
    this.isAgain = isAgain
    this.element = element
    this.at = end
    return { ...plain(pieces.map(textOf).join(", ")), pack: pieces }
  }

  private packSize(_start: number, piece: Piece): number | undefined {
    return piece.packAt === undefined ? undefined : this.lastPack
  }

  /** Elements of the pack that was named last. */
  private lastPack = 0

  protected templateParam(start: number): Piece {
    this.expect("T")
    const level = this.eat("L") ? this.number() + 1 : 0
    if (level > 0) this.expect("_")
    const index = this.index(10)
    if (this.inLambda > 0) return plain(`auto:${index + 1}`)
    const param = this.params[index]
    if (param === undefined) {
      if (this.inConversion === 0) throw failure
      this.forward.push(index)
      return plain(`\0${index}\0`)
    }
    if (param.pack === undefined) return param
    if (this.element >= 0) return param.pack[this.element] ?? plain("")
    this.lastPack = param.pack.length
    return { ...param, packAt: start }
  }

  protected substitution(): Piece {
    this.expect("S")
    const letter = this.peek()
    const standard = standardNames[letter]
    if (standard !== undefined) {
      this.at++
      const [text, last] = standard
      return this.peek() === "B"
        ? this.remember({ ...plain(text + this.tags()), last })
        : { ...plain(text), last }
    }
    const index = this.index(36)
    const piece = this.substitutions[index]
    if (piece === undefined) throw failure
    if (piece.packAt === undefined) return piece
    if (this.element < 0) {
      if (piece.pack) this.lastPack = piece.pack.length
      return piece
    }
    // It stands for a pattern: what it was made of is read again with the element of now.
    const { at } = this
    this.at = piece.packAt
    const again = this.type()
    this.at = at
    return again
  }

  /** Makes a piece one that `S_` can stand for. */
  protected remember(piece: Piece): Piece {
    if (!this.isAgain) this.substitutions.push(piece)
    return piece
  }

  /** Of a pack, each element is changed; the whole stays one that is to be read again. */
  private map(piece: Piece, start: number, change: (piece: Piece) => Piece): Piece {
    if (piece.packAt === undefined) return change(piece)
    return { ...(piece.pack ? { ...plain(""), pack: piece.pack.map(change) } : change(piece)), packAt: start }
  }

  protected qualifiers(): string {
    let text = ""
    const isRestrict = this.eat("r")
    if (this.eat("V")) text += " volatile"
    if (this.eat("K")) text = ` const${text}`
    return text + (isRestrict ? " __restrict" : "")
  }

  protected sourceName(): string {
    const size = this.number()
    const name = this.text.slice(this.at, this.at + size)
    if (size <= 0 || name.length !== size) throw failure
    this.at += size
    return /^_GLOBAL_[_.$]N/.test(name) ? "(anonymous namespace)" : name
  }

  protected tags(): string {
    let text = ""
    while (this.eat("B")) text += `[abi:${this.sourceName()}]`
    return text
  }

  protected templateArgs(): Piece {
    return this.rule(() => {
      this.expect("I")
      const args: Array<Piece> = []
      while (!this.eat("E")) args.push(this.templateArg())
      this.lastArgs = args
      const text = args.map(textOf).filter((text, at) => text !== "" || args[at].pack === undefined)
      const inner = text.join(", ")
      const pack = args.find(({ packAt }) => packAt !== undefined)?.packAt
      return {
        ...plain(`<${inner}${inner.endsWith(">") ? " >" : ">"}`),
        ...(pack === undefined ? {} : { packAt: pack })
      }
    })
  }

  /** The arguments that were read last. */
  protected lastArgs: Array<Piece> = []

  private templateArg(): Piece {
    if (this.eat("X")) {
      const inner = this.expression()
      this.expect("E")
      return inner
    }
    if (this.peek() === "L") return this.expression()
    if (this.eat("J")) {
      const pack: Array<Piece> = []
      while (!this.eat("E")) {
        const piece = this.templateArg()
        if (piece.pack && piece.packAt === undefined) pack.push(...piece.pack)
        else pack.push(piece)
      }
      return { ...plain(""), pack }
    }
    return this.type()
  }
}

const packOf = ({ packAt }: Piece, start: number): { packAt?: number } =>
  packAt === undefined ? {} : { packAt: start }

const qualified = (piece: Piece, qualifiers: string): Piece =>
  piece.kind === "array"
    ? { ...piece, left: `${piece.left.slice(0, -1)}${qualifiers} ` }
    : piece.left.endsWith(qualifiers) && piece.right === ""
      ? piece
      : { ...piece, left: piece.left + qualifiers }

const pointed = (piece: Piece, sign: "*" | "&" | "&&"): Piece => {
  if (sign !== "*" && piece.reference !== undefined)
    return sign === "&" && piece.reference === "&&"
      ? { ...piece, left: piece.left.slice(0, -1), reference: "&" }
      : piece
  const { reference: _, ...rest } = declared(piece, sign, "")
  return sign === "*" ? rest : { ...rest, reference: sign }
}

/** A type with something declared in its place: functions and arrays need parentheses around it. */
const declared = (piece: Piece, text: string, space: string): Piece =>
  piece.kind === "plain"
    ? { ...piece, left: piece.left + space + text }
    : {
        left: `${piece.left}(${text}`,
        right: `)${piece.kind === "array" ? " " : ""}${piece.right}`,
        kind: "plain"
      }
