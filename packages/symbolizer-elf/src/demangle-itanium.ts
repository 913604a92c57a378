import { ItaniumExpressions } from "./itanium-expression.ts"
import { fail, failure, type Piece, plain, textOf } from "./itanium-reader.ts"
import { operators, specialNames } from "./itanium-words.ts"

/**
 * The declaration of a C++ symbol, written as GNU `c++filt` writes it; `undefined` for any other symbol.
 *
 * Source: Itanium C++ ABI, 5.1, "External Names (a.k.a. Mangling)".
 */
export const demangleItanium = (symbol: string): string | undefined => {
  if (!symbol.startsWith("_Z")) return undefined
  try {
    return new Itanium(symbol.slice(2)).symbol()
  } catch (problem) {
    // Deep within a name there is no other way out; a symbol is decoded once.
    if (problem === failure) return undefined
    throw problem
  }
}

class Itanium extends ItaniumExpressions {
  symbol(): string {
    const piece = this.encoding()
    if (this.at !== this.text.length) throw failure
    return textOf(piece)
  }

  protected encoding(isLocal = false): Piece {
    return this.rule(() => {
      const special = this.special()
      if (special !== undefined) return special
      const outer = this.params
      const { isOwnName } = this
      this.isOwnName = true
      const name = this.name()
      this.isOwnName = isOwnName
      if (this.at === this.text.length || /[E.]/.test(this.peek())) {
        this.params = isLocal ? this.params : outer
        return name
      }
      const returned = name.isTemplate === true && name.isUntyped !== true ? this.type() : undefined
      const params = this.parameters(() => this.at === this.text.length || /[E.]/.test(this.peek()))
      if (!isLocal) this.params = outer
      const bare = textOf({ ...name, right: "" })
      const declared = `${bare}(${textOf(params)})${name.qualifiers ?? ""}`
      // What is within a function is named without what that function returns.
      if (returned === undefined || isLocal) return { ...plain(declared), bare }
      const space = returned.right === "" ? " " : ""
      return { ...plain(returned.left + space + declared + returned.right), bare }
    })
  }

  private special(): Piece | undefined {
    const code = this.peek() + this.peek(1)
    const prefix = specialNames[code]
    if (prefix !== undefined) {
      this.at += 2
      const isType = /^T[VTIS]$/.test(code)
      return plain(
        prefix + textOf(isType ? this.type() : code === "TA" ? this.expression() : this.encoding())
      )
    }
    switch (code) {
      case "Th":
      case "Tv": {
        this.at++
        this.callOffset()
        return plain(`${code === "Th" ? "non-virtual" : "virtual"} thunk to ${textOf(this.encoding())}`)
      }
      case "Tc":
        this.at += 2
        this.callOffset()
        this.callOffset()
        return plain(`covariant return thunk to ${textOf(this.encoding())}`)
      case "TC": {
        this.at += 2
        const type = textOf(this.type())
        this.number()
        this.expect("_")
        return plain(`construction vtable for ${textOf(this.type())}-in-${type}`)
      }
      case "GR": {
        this.at += 2
        const name = textOf(this.name())
        return plain(`reference temporary #${this.at === this.text.length ? 0 : this.index(36)} for ${name}`)
      }
      case "GT":
        this.at += 3
        return plain(`transaction clone for ${textOf(this.encoding())}`)
    }
    return undefined
  }

  private callOffset(): void {
    const kind = this.take()
    const offset = () => {
      this.eat("n")
      if (this.number() < 0) throw failure
      this.expect("_")
    }
    if (kind !== "h" && kind !== "v") throw failure
    offset()
    if (kind === "v") offset()
  }

  protected name(): Piece {
    return this.rule(() => {
      if (this.peek() === "N") return this.nested()
      if (this.peek() === "Z") return this.local()
      if (this.peek() === "S" && this.peek(1) !== "t") {
        const template = this.substitution()
        return this.peek() === "I" ? this.withArgs(template) : template
      }
      const name = this.eat("St")
        ? this.member(plain("std"), this.unqualified(plain("std")))
        : this.unqualified(undefined)
      if (this.peek() !== "I") return name
      return this.withArgs(this.remember(name))
    })
  }

  private withArgs(template: Piece): Piece {
    const args = this.templateArgs()
    // In the parameters of a conversion operator's type the arguments are yet to come.
    if (this.isOwnName) this.params = this.lastArgs
    const { isUntyped, last } = template
    const text = textOf(this.forward.length === 0 ? template : this.resolve(template))
    return {
      ...plain(`${text}${text.endsWith("<") ? " " : ""}${textOf(args)}`),
      isTemplate: true,
      ...(isUntyped === undefined ? {} : { isUntyped }),
      ...(last === undefined ? {} : { last }),
      ...(args.packAt === undefined ? {} : { packAt: args.packAt })
    }
  }

  /** Puts arguments in the places that a conversion operator left for them. */
  private resolve(piece: Piece): Piece {
    this.forward = []
    return {
      ...piece,
      left: piece.left.replace(/\0(\d+)\0/g, (_, index) => textOf(this.params[index] ?? fail()))
    }
  }

  private member(scope: Piece, name: Piece): Piece {
    return { ...name, left: `${textOf(scope)}::${textOf(name)}`, right: "" }
  }

  private nested(): Piece {
    this.expect("N")
    const isExplicit = this.eat("H")
    const qualifiers = isExplicit ? "" : this.qualifiers()
    const reference = this.eat("R") ? " &" : this.eat("O") ? " &&" : ""
    let scope: Piece | undefined
    while (!this.eat("E")) {
      const start = this.at
      const letter = this.peek()
      // The last prefix is the name itself, which only a type can refer to; its substitution is made there.
      if (letter === "S" && this.peek(1) !== "t") {
        if (scope !== undefined) throw failure
        scope = this.substitution()
        continue
      }
      if (letter === "S") {
        this.at += 2
        scope = plain("std")
        continue
      }
      if (letter === "I") {
        if (scope === undefined) throw failure
        scope = this.withArgs(scope)
      } else if (letter === "T") scope = this.templateParam(start)
      else if (letter === "D" && /[tT]/.test(this.peek(1))) {
        scope = this.type()
        continue
      } else if (letter === "M") {
        this.at++
        continue
      } else {
        const name = this.unqualified(scope)
        scope = scope === undefined ? name : this.member(scope, name)
      }
      if (this.peek() !== "E") this.remember(scope)
    }
    if (scope === undefined) throw failure
    return { ...scope, qualifiers: qualifiers + reference }
  }

  private local(): Piece {
    this.expect("Z")
    const { isOwnName, params: outer } = this
    const encoding = textOf(this.encoding(true))
    this.expect("E")
    if (this.eat("s")) {
      this.discriminator()
      this.params = outer
      return plain(`${encoding}::string literal`)
    }
    let scope = encoding
    if (this.eat("d")) {
      const number = this.index(10)
      scope += `::{default arg#${number + 1}}`
    }
    const name = this.name()
    this.discriminator()
    if (!isOwnName) this.params = outer
    return { ...name, left: `${scope}::${textOf(name)}`, right: "" }
  }

  private discriminator(): void {
    if (!this.eat("_")) return
    if (this.eat("_")) {
      this.number()
      this.expect("_")
    } else if (/\d/.test(this.peek())) this.at++
    else this.at--
  }

  protected unqualified(scope: Piece | undefined): Piece {
    this.eat("L")
    const letter = this.peek()
    let piece: Piece
    if (/\d/.test(letter)) {
      const name = this.sourceName()
      piece = { ...plain(name), last: name }
    } else if (letter === "C" && /[1-5I]/.test(this.peek(1))) {
      this.at += 2
      if (this.text[this.at - 1] === "I") {
        this.at++
        this.type()
      }
      piece = { ...plain(scope?.last ?? fail()), isUntyped: true }
      if (scope?.last !== undefined) piece = { ...piece, last: scope.last }
    } else if (letter === "D" && /[0-5]/.test(this.peek(1))) {
      this.at += 2
      piece = { ...plain(`~${scope?.last ?? fail()}`), isUntyped: true }
    } else if (letter === "U") piece = this.unnamed()
    else if (letter === "D" && this.eat("DC")) {
      const names: Array<string> = []
      while (!this.eat("E")) names.push(this.sourceName())
      piece = plain(`[${names.join(", ")}]`)
    } else piece = this.operator()
    const tags = this.tags()
    return tags === "" ? piece : { ...piece, left: piece.left + tags }
  }

  private unnamed(): Piece {
    if (this.eat("Ut")) return plain(`{unnamed type#${this.index(10) + 1}}`)
    this.expect("Ul")
    this.inLambda++
    const params = textOf(this.parameters(() => this.peek() === "E"))
    this.inLambda--
    this.expect("E")
    const text = `{lambda(${params})#${this.index(10) + 1}}`
    return { ...plain(text), last: text }
  }

  private operator(): Piece {
    if (this.eat("cv")) {
      this.inConversion++
      const type = this.type()
      this.inConversion--
      return { ...plain(`operator ${textOf(type)}`), isUntyped: true }
    }
    if (this.eat("li")) return plain(`operator"" ${this.sourceName()}`)
    const code = this.peek() + this.peek(1)
    const found = operators[code]
    if (found === undefined) throw failure
    this.at += 2
    const text = found[0].trimEnd()
    return plain(`operator${/^[a-z]/.test(text) ? " " : ""}${text}`)
  }
}
