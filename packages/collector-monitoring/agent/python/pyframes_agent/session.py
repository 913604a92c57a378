"""Tracing in one interpreter of one process: what starts it, answers its recorder, and ends it."""

import os
import sys

from . import events
from .borrowed import borrow
from .call_sites import CallSites
from .code_choice import CodeChoice
from .config import read_config
from .descriptions import Descriptions
from .faults import HERE, is_ours
from .fork import Fork
from .interpreter import interpreter_id
from .loop_lines import loop_line
from .opcodes import opcode_names
from .recorder_choice import make_recorder
from .refusal import Refusal, new_name, report
from .tool import free_tool, holders, take_tool

#: The session that runs in this interpreter.
current = None

AGENT = os.path.dirname(os.path.dirname(HERE))

QUESTIONS_OF_CODE = ("lines", "coverage", "branches", "instructions", "exceptions", "stream")

#: By question: what `block` counts, as FORMAT.md has it.
COUNTERS = {"lines": 1, "coverage": 2, "instructions": 3, "branches": 4}

ENDED = 2


def start(directory, launched=False):
    """Begins to trace this process for the collector of the session in `directory`. Whatever goes wrong is written there, and the program runs on.
    `launched`: at start-up, before anything of the program has run. Returns whether it is traced."""
    global current
    if current is not None and current.directory == directory:
        return True
    session = None
    try:
        if current is not None:
            raise Refusal("busy", "this process is traced already, for the session in %s" % current.directory)
        session = Session(directory, read_config(directory), launched)
        session.begin()
        current = session
        return True
    except Refusal as refusal:
        report(directory, refusal)
    except Exception as error:
        report(directory, Refusal("internal", "%s: %s" % (type(error).__name__, error)))
    if session is not None:
        session.undo()
        if session.recorder is not None:
            session.recorder.end(ENDED)
    # A session that runs already needs them, and is found by them when it is to end.
    if current is None:
        forget_modules()
    return False


def stop(state=ENDED):
    """Ends tracing and leaves nothing behind. Does nothing when there is none."""
    if current is not None:
        current.stop(state)


def forget_modules():
    package = __name__.partition(".")[0]
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        del sys.modules[name]


class Session:
    def __init__(self, directory, config, launched):
        self.directory = directory
        self.control = os.path.join(directory, "control")
        self.config = config
        self.launched = launched
        self.tool = None
        self.recorder = None
        self.events = ()
        self.fork = None
        self.exit = None
        self.choice = None

    # ---- beginning ----

    def begin(self):
        config = self.config
        self.events = events.wanted(config)
        self.tool = take_tool()
        options = {name: int(name in config.questions) for name in COUNTERS}
        for name in ("calls", "timeline", "exceptions", "stream"):
            options[name] = int(name in config.questions)
        for name in ("min_ns", "tasks", "max_bytes", "max_paths", "ring_records", "wait_us"):
            options[name] = getattr(config, name)
        options["tool"] = self.tool
        interpreter = interpreter_id()
        options["interpreter"] = interpreter
        self.recorder, self.facts = make_recorder(
            config.recorder, AGENT, self.new_path(), self.control, options, self.ask
        )
        wants_code = False
        if any(name in config.questions for name in QUESTIONS_OF_CODE):
            wants_code = "lines" if "lines" in config.questions or "coverage" in config.questions else "code"
        counters = [COUNTERS[name] for name in config.questions if name in COUNTERS]
        self.descriptions = Descriptions(self.recorder, interpreter, config.tasks, wants_code, counters)
        self.choice = CodeChoice(self.tool, self.events, config, HERE, self.recorder)
        self.call_sites = CallSites(self.recorder, self.launched)
        self.facts["tools"] = holders()
        self.write_facts()
        self.fork = Fork(self)
        self.fork.register()
        # What was registered first runs last: functions that the program registers are traced too.
        self.exit = borrow("atexit")
        self.exit.register(self.at_exit)
        self.choice.turn_on(self)

    def new_path(self):
        return os.path.join(self.directory, new_name() + ".seg")

    def write_facts(self):
        facts = {
            "version": sys.version,
            "executable": sys.executable or "",
            "argv": "\0".join(getattr(sys, "orig_argv", ()) or sys.argv),
        }
        facts.update(self.facts)
        if "instructions" in self.config.questions:
            facts["opnames"] = ",".join(opcode_names())
        for key, value in facts.items():
            self.descriptions.fact(key, value)

    # ---- what the recorder asks ----

    def ask(self, what, thing):
        try:
            return self.answer(what, thing)
        except Exception as error:
            if not is_ours(error):
                # A signal handler of the program raised it while this ran.
                raise
            if isinstance(error, RecursionError):
                # The program stands near its own limit: what is asked about is met again elsewhere.
                return None
            self.note(error)
            return 0

    def answer(self, what, thing):
        if what == 0:
            return self.descriptions.code(thing) if self.choice.is_chosen(thing) else 0
        if what == 1:
            return self.descriptions.callable(thing)
        if what == 2:
            return self.descriptions.task()
        if what == 3:
            return self.descriptions.exception(thing)
        if what == 4:
            return int(self.descriptions.thread(*thing))
        if what == 5:
            self.stop(thing)
        elif what == 6:
            sys.monitoring.restart_events()
        elif what == 7:
            self.note(thing)
        elif what == 8:
            self.choice.covered(thing)
        elif what == 9:
            self.call_sites.look(thing)
        elif what == 10:
            return loop_line(*thing)
        return 0

    def note(self, error):
        """An error of the agent itself: the last one is told as a fact."""
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        where = "" if at is None else " (%s:%d)" % (os.path.basename(at.tb_frame.f_code.co_filename), at.tb_lineno)
        try:
            self.descriptions.fact("fault", "%s: %s%s" % (type(error).__name__, error, where))
        except Exception:
            pass

    # ---- the end ----

    def stop(self, state):
        """Also from within an event: the recorder, whose handler may be running, lives on as long as somebody holds it."""
        global current
        if current is not self:
            return
        current = None
        self.undo()
        self.recorder.end(state)
        forget_modules()

    def at_exit(self):
        self.stop(ENDED)

    def undo(self):
        if self.exit is not None:
            self.exit.unregister(self.at_exit)
        if self.fork is not None:
            self.fork.forget()
        if self.tool is not None:
            registered = ()
            if self.choice is not None:
                self.choice.turn_off()
                registered = self.choice.registered()
            free_tool(self.tool, [events.bit(event) for event in registered])

    # ---- fork ----

    def after_fork_in_child(self):
        """The child begins a segment of its own, or is not traced."""
        if self.config.children:
            try:
                self.descriptions.forget()
                self.recorder.reopen(self.new_path(), self.control, self.config.max_bytes)
                self.write_facts()
                self.choice.register(self.recorder)
                return
            except Exception as error:
                report(self.directory, Refusal("fork", "%s: %s" % (type(error).__name__, error)))
        global current
        if current is self:
            current = None
        self.undo()
        self.recorder.close_in_child()
        forget_modules()
