// What people know from notebooks: rich results, magics, shell escapes, and plain words about what cannot work here.
#include <string>
#include <vector>

#include "tests/integration/interpreter/jailed_test.h"

namespace carrel::testing {
namespace {

namespace v1 = interpreter::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class NotebookTest : public JailedTest {
 protected:
  static std::string Shown(const std::string& code, const std::string& media_type) {
    const Ran ran = Run("from IPython.display import *\n" + code);
    EXPECT_EQ(ran.outcome.kind(), v1::COMPLETED) << code << '\n' << ran.outcome.ShortDebugString() << ran.err;
    for (const v1::Display& display : ran.displays) {
      EXPECT_TRUE(display.data().contains("text/plain")) << code;
      if (display.data().contains(media_type)) return display.data().at(media_type);
    }
    ADD_FAILURE() << code << " shows no " << media_type;
    return "";
  }
};

TEST_F(NotebookTest, EveryRichTypeArrivesAsJupyterHasIt) {
  EXPECT_EQ(Shown("HTML('<b>x</b>')", "text/html"), "<b>x</b>");
  EXPECT_EQ(Shown("Markdown('# x')", "text/markdown"), "# x");
  EXPECT_EQ(Shown("Latex('$x$')", "text/latex"), "$x$");
  EXPECT_EQ(Shown("JSON({'a': [1, 2]})", "application/json"), R"({"a": [1, 2]})");
  EXPECT_THAT(Shown("SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')", "image/svg+xml"), StartsWith("<svg"));
  EXPECT_THAT(Shown("import pandas as pd; pd.DataFrame({'a': [1]})", "text/html"), HasSubstr("<td>1</td>"));
  EXPECT_THAT(Shown("import sympy; sympy.Symbol('x')**2", "text/latex"), HasSubstr("x^{2}"));
  EXPECT_THAT(Shown("from PIL import Image as P; P.new('RGB', (2, 2))", "image/png"), StartsWith("\x89PNG"));
  EXPECT_THAT(Shown("import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\nfigure", "image/png"),
              StartsWith("\x89PNG"));
  EXPECT_THAT(Shown("%config InlineBackend.figure_format = 'svg'\nplt.plot([1]);", "image/svg+xml"), HasSubstr("<svg"));
  EXPECT_EQ(Shown("class Own:\n    def _repr_mimebundle_(self, **k): return {'text/plain': 'o', 'application/x-own': "
                  "{'b': 1}}\nOwn()",
                  "application/x-own"),
            R"({"b": 1})");
  EXPECT_EQ(Shown("display({'text/plain': 'p', 'text/html': '<i>'}, raw=True)", "text/html"), "<i>");
}

TEST_F(NotebookTest, FiguresBecomeFilesOnRequest) {
  v1::ExecuteRequest request;
  request.set_session_id(session_);
  request.set_code(
      "import matplotlib.pyplot as plt\nfor n in range(2):\n    plt.plot([n, 1]); plt.show()\nplt.plot([3]);");
  request.set_save_figures(true);
  const Ran ran = client_->Execute(request);
  std::vector<std::string> paths;
  for (const v1::Artifact& artifact : ran.artifacts) {
    paths.push_back(artifact.path());
    EXPECT_EQ(artifact.media_type(), "image/png");
  }
  EXPECT_THAT(paths, ElementsAre("figure-1.png", "figure-2.png", "figure-3.png"));
  ASSERT_EQ(ran.displays.size(), 3U);
  EXPECT_EQ(client_->Download(session_, "figure-3.png"), ran.displays[2].data().at("image/png"));
  request.set_code("plt.plot([4]);");
  EXPECT_EQ(client_->Execute(request).artifacts.at(0).path(), "figure-4.png") << "the next free number";
  request.set_save_figures(false);
  EXPECT_TRUE(client_->Execute(request).artifacts.empty());
  // A workspace without room: the figure is shown, and what could not be written is said.
  request.set_save_figures(true);
  request.set_code(
      "open('fill', 'wb').write(b'x' * ((8 << 20) - 120_000))\nplt.plot([4]);\nplt.show()\n"
      "open('fill', 'ab').write(b'x' * 200_000)");
  EXPECT_EQ(client_->Execute(request).outcome.exception().name(), "OSError") << "now it is full";
  request.set_code("plt.plot([5]);");
  const Ran full = client_->Execute(request);
  EXPECT_EQ(full.outcome.kind(), v1::COMPLETED) << full.outcome.ShortDebugString();
  EXPECT_THAT(full.err, HasSubstr("figure-6.png was not written: No space left on device"));
}

TEST_F(NotebookTest, MagicsThatMakeSenseWork) {
  EXPECT_THAT(Run("%time 1 + 1").out, HasSubstr("Wall time"));
  EXPECT_EQ(Run("%time 1 + 1").result(), "2");
  EXPECT_THAT(Run("%%time\nx = 5").out, HasSubstr("Wall time"));
  EXPECT_THAT(Run("%timeit -n1 -r1 1").out, HasSubstr("per loop"));
  EXPECT_THAT(Run("%%timeit -n1 -r1\n1").out, HasSubstr("per loop"));
  EXPECT_THAT(Run("%who").out, HasSubstr("kept"));
  EXPECT_THAT(Run("%whos").out, HasSubstr("Variable"));
  for (const char* line : {"%matplotlib inline", "%matplotlib", "%load_ext autoreload", "%autoreload 2"}) {
    EXPECT_EQ(Run(line).outcome.kind(), v1::COMPLETED) << line;
  }
  EXPECT_EQ(Run("%%bash\nfor n in 1 2; do echo $n; done").out, "1\n2\n");
  const Ran failed = Run("%%bash\necho before; exit 3");
  EXPECT_EQ(failed.out, "before\n");
  EXPECT_EQ(failed.outcome.exception().name(), "CalledProcessError");
  EXPECT_EQ(Run("%%sh\necho hi").out, "hi\n");
  EXPECT_THAT(Run("%%writefile a.txt\nhello").out, HasSubstr("Writing a.txt"));
  EXPECT_EQ(Run("!cat a.txt").out, "hello\n");
  EXPECT_EQ(Run("lines = !cat a.txt\nlines[0]").result(), "'hello'");
  EXPECT_EQ(Run("name = 'a.txt'\n!cat {name}").out, "hello\n");
  EXPECT_EQ(Run("%%capture shown\nprint(1)\n").out, "");
  EXPECT_EQ(Run("shown.stdout").result(), R"('1\n')");
  EXPECT_THAT(Run("len?").out, HasSubstr("number of items"));
  EXPECT_THAT(Run("%env HOME").result(), HasSubstr("/tmp"));
  EXPECT_EQ(Run("%cd /tmp").out, "/tmp\n");
  EXPECT_EQ(Run("%pwd").result(), "'/tmp'");
  EXPECT_THAT(Run("%cd -q /mnt/data\n%run a.txt").err, HasSubstr("NameError"));
  Run("def f():\n    return 1 / 0\nf()");
  EXPECT_THAT(Run("%tb").err, HasSubstr("ZeroDivisionError"));
  EXPECT_EQ(Run("%%html\n<b>x</b>").displays.at(0).data().at("text/html"), "<b>x</b>\n");
  EXPECT_EQ(Run("%%python3\nprint(7)").out, "7\n");
  EXPECT_THAT(Run("%prun sum(range(10))").out, HasSubstr("function calls"));
  ExpectKept();
  EXPECT_EQ(Run("%reset -f").outcome.kind(), v1::COMPLETED);
}

TEST_F(NotebookTest, MagicsThatNeedAPersonAScreenOrTheNetworkSaySo) {
  for (const char* line : {"%edit", "%debug", "%pdb on", "%gui qt", "%matplotlib qt", "%matplotlib widget", "%pylab",
                           "%recall", "%notebook x.ipynb", "%pastebin 1", "%connect_info", "%logstart", "%%debug\n1"}) {
    const Ran ran = Run(line);
    EXPECT_EQ(ran.outcome.exception().name(), "UsageError") << line;
    EXPECT_THAT(ran.outcome.exception().value(), HasSubstr("is not available here")) << line;
  }
  EXPECT_THAT(Run("%nonsense").outcome.exception().value(), HasSubstr("%nonsense"));
  ExpectKept();
}

TEST_F(NotebookTest, WhatWaitsForAPersonAnswersAtOnce) {
  for (const char* line : {"input('name? ')", "import getpass; getpass.getpass()", "breakpoint()",
                           "import pdb; pdb.set_trace()", "import sys; sys.stdin.readline() or input()"}) {
    const Ran ran = Run(line);
    EXPECT_EQ(ran.outcome.kind(), v1::RAISED) << line;
    EXPECT_THAT(ran.outcome.exception().value(), HasSubstr("is not available here")) << line;
    EXPECT_LT(ran.outcome.usage().wall_ms(), 2000U) << line;
  }
  EXPECT_EQ(Run("!cat; read line; echo end").out, "end\n") << "programs see the end of their input";
  ExpectKept();
}

TEST_F(NotebookTest, InstallingSaysWhyNotAndWhatIsThere) {
  for (const char* line :
       {"!pip install nosuchpackage", "%pip install nosuchpackage", "!pip3 install -U nosuchpackage",
        "!python3 -m pip install nosuchpackage", "!uv pip install nosuchpackage",
        "!conda install -y -c forge nosuchpackage", "%conda install nosuchpackage", "!apt-get install nosuchpackage",
        "import subprocess, sys; subprocess.run([sys.executable, '-m', 'pip', 'install', "
        "'nosuchpackage']);"}) {
    const Ran ran = Run(line);
    EXPECT_EQ(ran.outcome.kind(), v1::COMPLETED) << line;
    EXPECT_THAT(ran.err, HasSubstr("cannot install nosuchpackage: this session has no network")) << line;
    EXPECT_THAT(ran.err, HasSubstr("pandas ")) << line;
    EXPECT_LT(ran.outcome.usage().wall_ms(), 5000U) << line;
  }
  EXPECT_EQ(Run("!pip install nosuchpackage 2>/dev/null; echo $?").out, "1\n");
  EXPECT_THAT(Run("!pip install numpy 'pandas>=2'; echo $?").out,
              ::testing::AllOf(HasSubstr("Requirement already satisfied: numpy ("), HasSubstr("\n0\n")));
  EXPECT_THAT(Run("!pip install numpy==1.0").err, HasSubstr("numpy 2"));
  EXPECT_THAT(Run("!pip list").out, HasSubstr("matplotlib "));
  EXPECT_THAT(Run("!pip freeze").out, HasSubstr("matplotlib=="));
  EXPECT_THAT(Run("!pip show scipy").out, HasSubstr("Version: "));
  ExpectKept();
}

TEST_F(NotebookTest, APrintLeavesAsOneWrite) {
  const std::string prologue =
      "import os, sys\ninner = sys.stdout.buffer if hasattr(sys.stdout, 'buffer') else None\n"
      "writes = []\nclass Counting(type(sys.stdout.buffer)):\n"
      "    def write(self, data):\n        writes.append(bytes(data)); return len(data)\n"
      "import io\nold, sys.stdout = sys.stdout, io.TextIOWrapper(Counting(1, 'x'), write_through=True)\n";
  EXPECT_EQ(Run(prologue + "print('a', 1, [2], sep='-')\nsys.stdout = old\nwrites").result(), R"([b'a-1-[2]\n'])");
  // Lines of children and threads are never torn by each other's.
  const Ran many =
      Run("import threading\ndef say(n):\n    for _ in range(300): print('line', n, 'x' * 20)\n"
          "threads = [threading.Thread(target=say, args=(n,)) for n in range(4)]\n"
          "[t.start() for t in threads]\nif os.fork() == 0:\n    say(9)\n    os._exit(0)\n"
          "[t.join() for t in threads]; os.wait();");
  size_t lines = 0;
  for (size_t at = 0; at < many.out.size();) {
    const size_t end = many.out.find('\n', at);
    EXPECT_EQ(end - at, 27U) << many.out.substr(at, 80);
    at = end + 1;
    ++lines;
  }
  EXPECT_EQ(lines, 1500U);
  EXPECT_EQ(Run("print('no end', end='')").out, "no end");
  EXPECT_EQ(Run("class Bad:\n    def __str__(self): return 1 / 0\nprint('first', Bad())").out, "first ");
}

}  // namespace
}  // namespace carrel::testing
