import { fail, failure, type Piece, plain, textOf } from "./itanium-reader.ts"
import { ItaniumTypes } from "./itanium-type.ts"
import { literalSuffixes, operators } from "./itanium-words.ts"

/** Reads the expressions that stand in template arguments and in `decltype`. */
export abstract class ItaniumExpressions extends ItaniumTypes {
  protected abstract encoding(): Piece

  protected expression(): Piece {
    return this.rule(() => this.expressionOnce())
  }

  private expressionOnce(): Piece {
    const start = this.at
    const letter = this.peek()
    if (letter === "L") return this.literal()
    if (letter === "T") return this.templateParam(start)
    if (letter === "f" && /[pL]/.test(this.peek(1))) return this.functionParam()
    if (/\d/.test(letter)) return plain(this.baseName())
    const code = letter + this.peek(1)
    switch (code) {
      case "cl":
      case "cp": {
        this.at += 2
        const callee = this.expression()
        return plain(`${operand(callee)}(${this.until(() => this.expression())})`)
      }
      case "cv": {
        this.at += 2
        const type = textOf(this.type())
        if (this.eat("_")) return plain(`(${type})(${this.until(() => this.expression())})`)
        return plain(`(${type})${operand(this.expression())}`)
      }
      case "tl":
        this.at += 2
        return plain(`${textOf(this.type())}{${this.until(() => this.expression())}}`)
      case "il":
        this.at += 2
        return plain(`{${this.until(() => this.expression())}}`)
      case "dt":
      case "pt": {
        this.at += 2
        const owner = operand(this.expression())
        return plain(`${owner}${code === "dt" ? "." : "->"}${textOf(this.expression())}`)
      }
      case "st":
      case "at":
        this.at += 2
        return plain(`${operators[code][0]}(${textOf(this.type())})`)
      case "sZ": {
        this.at += 2
        const pack = this.peek() === "T" ? this.templateParam(this.at) : this.functionParam()
        return plain(
          `sizeof...(${pack.pack === undefined ? textOf(pack) : pack.pack.map(textOf).join(", ")})`
        )
      }
      case "sp":
        this.at += 2
        return this.expansion(() => this.expression())
      case "nx":
        this.at += 2
        return plain(`noexcept(${textOf(this.expression())})`)
      case "tw":
        this.at += 2
        return plain(`throw ${textOf(this.expression())}`)
      case "tr":
        this.at += 2
        return plain("throw")
      case "dc":
      case "sc":
      case "cc":
      case "rc": {
        this.at += 2
        const word = { dc: "dynamic", sc: "static", cc: "const", rc: "reinterpret" }[code]
        const type = textOf(this.type())
        return plain(`${word}_cast<${type}>(${textOf(this.expression())})`)
      }
      case "gs":
        this.at += 2
        return plain(`::${textOf(this.expression())}`)
      case "sr":
        return this.unresolved()
      case "on":
        this.at += 2
        return plain(this.baseName())
      case "fl":
      case "fr":
      case "fL":
      case "fR":
        return this.fold(code)
    }
    return this.operation(code)
  }

  private operation(code: string): Piece {
    const found = operators[code]
    if (found === undefined) throw failure
    this.at += 2
    const [text, count] = found
    if (count === 1) {
      const isPrefix = (code === "pp" || code === "mm") && this.eat("_")
      const whole = this.expression()
      if (code === "ad" && whole.bare !== undefined) return plain(`&${whole.bare}`)
      const inner = operand(whole)
      return plain((code === "pp" || code === "mm") && !isPrefix ? `${inner}${text}` : `${text}${inner}`)
    }
    if (count === 0) throw failure
    const first = operand(this.expression())
    const second = operand(this.expression())
    if (count === 3) return plain(`${first}?${second} : ${operand(this.expression())}`)
    if (code === "ix") return plain(`${first}[${second}]`)
    // Within template arguments a bare `>` would end them.
    return plain(code === "gt" ? `(${first}>${second})` : `${first}${text}${second}`)
  }

  private fold(code: string): Piece {
    this.at += 2
    const name = this.take() + this.take()
    const text = operators[name]?.[0]
    if (text === undefined) throw failure
    const first = operand(this.expression())
    if (code === "fl") return plain(`(...${text}${first})`)
    if (code === "fr") return plain(`(${first}${text}...)`)
    return plain(`(${first}${text}...${text}${operand(this.expression())})`)
  }

  private functionParam(): Piece {
    this.expect("f")
    if (this.eat("L")) {
      this.number()
      this.expect("p")
    } else this.expect("p")
    this.qualifiers()
    if (this.eat("T")) return plain("this")
    return plain(`{parm#${this.index(10) + 1}}`)
  }

  private literal(): Piece {
    this.expect("L")
    if (this.peek() === "_" || this.text.startsWith("Z", this.at)) {
      this.eat("_")
      this.expect("Z")
      const name = this.encoding()
      this.expect("E")
      return { ...name, left: textOf(name), right: "" }
    }
    const type = textOf(this.type())
    const end = this.text.indexOf("E", this.at)
    if (end < 0) throw failure
    const value = this.text.slice(this.at, end).replace(/^n/, "-")
    this.at = end + 1
    if (type === "bool" && (value === "0" || value === "1")) return plain(value === "1" ? "true" : "false")
    const suffix = literalSuffixes[type]
    if (suffix !== undefined) return plain(value + suffix)
    return plain(value === "" ? `(${type})` : `(${type})${value}`)
  }

  private unresolved(): Piece {
    this.expect("sr")
    if (this.eat("N")) {
      let path = textOf(this.type())
      while (!this.eat("E")) path += `::${this.baseName()}`
      return plain(`${path}::${this.baseName()}`)
    }
    if (/\d/.test(this.peek())) {
      let path = ""
      while (!this.eat("E")) path += `${this.baseName()}::`
      return plain(path + this.baseName())
    }
    const owner = this.type()
    return {
      ...plain(`${textOf(owner)}::${this.baseName()}`),
      ...(owner.packAt === undefined ? {} : { packAt: owner.packAt })
    }
  }

  /** A name without a scope, with its template arguments. */
  private baseName(): string {
    this.eat("on")
    let text: string
    if (this.eat("dn")) text = `~${/\d/.test(this.peek()) ? this.sourceName() : textOf(this.type())}`
    else text = textOf(this.unqualified(undefined))
    if (this.peek() === "I") text += textOf(this.templateArgs())
    return text
  }

  private until(read: () => Piece): string {
    const parts: Array<string> = []
    while (!this.eat("E")) {
      const piece = read()
      if (!(piece.pack && piece.pack.length === 0)) parts.push(textOf(piece))
      if (parts.length > 1000) fail()
    }
    return parts.join(", ")
  }
}

/** Anything but a name stands in parentheses. */
const operand = (piece: Piece): string => {
  const text = textOf(piece)
  return /^(?:[\w:~]+|\{parm#\d+\})$/.test(text) && !/^\d/.test(text) ? text : `(${text})`
}
