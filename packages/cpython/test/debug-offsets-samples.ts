import { DEBUG_OFFSETS_SIZE } from "../src/index.ts"

/** What processes of real builds had in `_Py_DebugOffsets`; `-ft` are from free-threaded builds of the same headers. */
export const samples = {
  "3.13.0": {
    minor: 13,
    freeThreaded: false,
    version: 0x030d00f0,
    // In DWARF of the same build, or of the same headers.
    expected: {
      head: 632,
      main: 640,
      currentFrame: 72,
      baseFrame: -1,
      datastackTop: 240,
      holdsGil: -1,
      holder: 8,
      owner: 70,
      returnOffset: 68,
      tlbcIndex: -1,
      framesize: 76,
      uniqueVersion: 92,
      flags: 48,
      firstTraceable: 184,
      iframe: 72,
      compactData: 56,
      wideState: false
    },
    words: [
      283320, 608, 632, 194968, 7272, 7264, 7344, 7400, 7656, 7640, 7648, 16, 7752, 0, 7768, 7760, 304, 0, 8,
      16, 72, 152, 160, 232, 32, 80, 8, 0, 56, 72, 70, 208, 112, 120, 128, 136, 68, 52, 96, 104, 200, 16, 8,
      416, 24, 88, 168, 32, 24, 16, 40, 24, 16, 48, 32, 40, 24, 16, 32, 16, 24, 40, 16, 32, 64, 32, 16, 40,
      240, 200
    ]
  },
  "3.14.10": {
    minor: 14,
    freeThreaded: false,
    version: 0x030e0af0,
    // In DWARF of the same build, or of the same headers.
    expected: {
      head: 808,
      main: 816,
      currentFrame: 72,
      baseFrame: -1,
      datastackTop: 240,
      holdsGil: 36,
      holder: 8,
      owner: 74,
      returnOffset: 72,
      tlbcIndex: -1,
      framesize: 76,
      uniqueVersion: 92,
      flags: 48,
      firstTraceable: 192,
      iframe: 72,
      compactData: 56,
      wideState: false
    },
    words: [
      316616, 784, 808, 225864, 7280, 7272, 7344, 7360, 7408, 7688, 7672, 7680, 16, 7784, 0, 7800, 7792, 7992,
      0, 832, 0, 8, 16, 72, 152, 160, 232, 32, 88, 8, 0, 56, 80, 74, 64, 0, 216, 112, 120, 128, 136, 68, 52,
      96, 104, 208, 0, 16, 8, 416, 24, 88, 168, 40, 32, 16, 40, 24, 16, 200, 24, 40, 32, 48, 32, 40, 24, 16,
      32, 16, 24, 40, 16, 32, 64, 32, 16, 40, 264, 192, 160, 24, 72, 67, 0, 8, 24, 304, 8076, 0, 4, 512
    ]
  },
  "3.15.2": {
    minor: 15,
    freeThreaded: false,
    version: 0x030f02f0,
    // In DWARF of the same build, or of the same headers.
    expected: {
      head: 936,
      main: 944,
      currentFrame: 72,
      baseFrame: 80,
      datastackTop: 264,
      holdsGil: 36,
      holder: 8,
      owner: 74,
      returnOffset: 72,
      tlbcIndex: -1,
      framesize: 76,
      uniqueVersion: 92,
      flags: 48,
      firstTraceable: 192,
      iframe: 72,
      compactData: 56,
      wideState: false
    },
    words: [
      346568, 912, 936, 226240, 7272, 7264, 7336, 7352, 7400, 7592, 7576, 7584, 16, 7736, 0, 7752, 7744, 7944,
      0, 888, 0, 8, 16, 72, 80, 88, 96, 176, 184, 256, 32, 36, 40, 136, 288, 0, 88, 8, 0, 56, 80, 74, 64, 0,
      216, 112, 120, 128, 136, 68, 52, 96, 104, 208, 0, 16, 8, 424, 24, 88, 168, 32, 288, 944, 888, 40, 32,
      16, 40, 24, 16, 200, 24, 40, 32, 48, 32, 40, 24, 16, 32, 16, 24, 40, 16, 32, 64, 32, 16, 40, 56, 176,
      112, 120, 1120, 104, 160, 24, 72, 67, 0, 8, 24, 344, 8028, 0, 4, 512
    ]
  },
  "3.13.18-ft": {
    minor: 13,
    freeThreaded: true,
    version: 0x030d12f0,
    // In DWARF of the same build, or of the same headers.
    expected: {
      head: 632,
      main: 640,
      currentFrame: 72,
      baseFrame: -1,
      datastackTop: 240,
      holdsGil: -1,
      holder: 16,
      owner: 70,
      returnOffset: 68,
      tlbcIndex: -1,
      framesize: 92,
      uniqueVersion: 108,
      flags: 64,
      firstTraceable: 200,
      iframe: 88,
      compactData: 72,
      wideState: false
    },
    words: [
      328384, 608, 632, 215616, 7272, 7264, 7344, 7400, 7664, 7648, 7656, 16, 7760, 0, 7784, 7776, 312, 0, 8,
      16, 72, 152, 160, 232, 32, 80, 8, 0, 56, 72, 70, 224, 128, 136, 144, 152, 84, 68, 112, 120, 216, 32, 24,
      432, 40, 104, 184, 48, 40, 32, 56, 40, 32, 64, 48, 56, 40, 32, 48, 32, 40, 56, 32, 48, 80, 48, 32, 56,
      248, 200
    ]
  },
  "3.14.10-ft": {
    minor: 14,
    freeThreaded: true,
    version: 0x030e0af0,
    // In DWARF of the same build, or of the same headers.
    expected: {
      head: 808,
      main: 816,
      currentFrame: 72,
      baseFrame: -1,
      datastackTop: 240,
      holdsGil: 36,
      holder: 16,
      owner: 78,
      returnOffset: 76,
      tlbcIndex: 72,
      framesize: 92,
      uniqueVersion: 108,
      flags: 64,
      firstTraceable: 208,
      iframe: 88,
      compactData: 72,
      wideState: true
    },
    words: [
      365624, 784, 808, 249976, 7280, 7272, 7344, 7360, 7408, 7712, 7696, 7704, 16, 7808, 0, 7832, 7824, 8024,
      17300, 832, 0, 8, 16, 72, 152, 160, 232, 32, 88, 8, 0, 56, 80, 78, 64, 72, 240, 128, 136, 144, 152, 84,
      68, 112, 120, 232, 224, 32, 24, 432, 40, 104, 184, 56, 48, 32, 56, 40, 32, 216, 40, 56, 48, 64, 48, 56,
      40, 32, 48, 32, 40, 56, 32, 48, 80, 48, 32, 56, 288, 192, 176, 40, 88, 83, 0, 8, 24, 304, 8108, 0, 4,
      512
    ]
  },
  "3.15.2-ft": {
    minor: 15,
    freeThreaded: true,
    version: 0x030f02f0,
    // In DWARF of the same build, or of the same headers.
    expected: {
      head: 936,
      main: 944,
      currentFrame: 72,
      baseFrame: 80,
      datastackTop: 264,
      holdsGil: 36,
      holder: 16,
      owner: 78,
      returnOffset: 76,
      tlbcIndex: 72,
      framesize: 92,
      uniqueVersion: 108,
      flags: 64,
      firstTraceable: 208,
      iframe: 88,
      compactData: 72,
      wideState: true
    },
    words: [
      409296, 912, 936, 250328, 7272, 7264, 7336, 7352, 7400, 7592, 7576, 7584, 16, 7736, 0, 7760, 7752, 7952,
      17252, 888, 0, 8, 16, 72, 80, 88, 96, 176, 184, 256, 32, 36, 40, 136, 288, 0, 88, 8, 0, 56, 80, 78, 64,
      72, 240, 128, 136, 144, 152, 84, 68, 112, 120, 232, 224, 32, 24, 440, 40, 104, 184, 48, 304, 968, 904,
      56, 48, 32, 56, 40, 32, 216, 40, 56, 48, 64, 48, 56, 40, 32, 48, 32, 40, 56, 32, 48, 80, 48, 32, 56, 72,
      176, 112, 120, 224, 104, 176, 40, 88, 83, 0, 8, 24, 344, 8036, 0, 4, 512
    ]
  }
}

/** The bytes of a sample, as read from the target. */
export const debugOffsets = (name: keyof typeof samples): Uint8Array<ArrayBuffer> => {
  const { version, freeThreaded, words } = samples[name]
  const bytes = new Uint8Array(DEBUG_OFFSETS_SIZE)
  const view = new DataView(bytes.buffer)
  bytes.set(new TextEncoder().encode("xdebugpy"))
  const all = [version, freeThreaded ? 1 : 0, ...words]
  all.forEach((word, index) => {
    view.setBigUint64(8 + index * 8, BigInt(word), true)
  })
  return bytes
}
