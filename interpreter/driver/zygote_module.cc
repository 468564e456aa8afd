// _carrel_zygote: the zygote's privileged step, for Python. The work is sandbox/zygote.h's; here is only how an
// interpreter forks without breaking (what os.fork does around fork).
//
//   connect()             takes the jailer's socket; once, before anything else
//   serve(rehearse)       says that all is imported, then forks a child for every session. Returns True in each child,
//                         in its jail; False in the zygote, when the jailer is gone. `rehearse()` is called once, in a
//                         child that ends after it.
//   own_pages()           in a child of serve, once: makes copies of the pages that the rehearsal wrote to, as far as
//   it
//                         has none yet
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "fewer_mappings.h"
#include "own_pages.h"
#include "sandbox/zygote.h"

namespace {

using carrel::interpreter::CollapseHeap;
using carrel::interpreter::CopyPages;
using carrel::interpreter::JoinLibraryMappings;
using carrel::interpreter::PageRange;
using carrel::interpreter::ReadPages;
using carrel::interpreter::WriteOwnPages;
using carrel::sandbox::ForkOrder;
using carrel::sandbox::Zygote;

// Lives as long as the process: a child must not close descriptors whose numbers are the session's by then.
Zygote* zygote = nullptr;

// The pages that every session writes to, and in a child how many of the ranges are its own by now.
std::vector<PageRange> rehearsed;
size_t copied = 0;

PyObject* Raise(const absl::Status& status) {
  PyErr_SetString(PyExc_RuntimeError, status.ToString().c_str());
  return nullptr;
}

PyObject* Connect(PyObject* /*module*/, PyObject* /*none*/) {
  absl::StatusOr<std::unique_ptr<Zygote>> connected = Zygote::Connect();
  if (!connected.ok()) return Raise(connected.status());
  zygote = connected->release();
  Py_RETURN_NONE;
}

// Until the gate opens there is nothing else to do; what is left then waits until nobody waits for us.
void CopyPagesUntil(int gate) {
  constexpr size_t kAtOnce = 16;  // ranges, 0.1 ms
  pollfd open{.fd = gate, .events = POLLIN, .revents = 0};
  while (copied < rehearsed.size() && ::poll(&open, 1, 0) == 0) {
    const size_t count = std::min(kAtOnce, rehearsed.size() - copied);
    CopyPages(std::span(rehearsed).subspan(copied, count));
    copied += count;
  }
}

// In the child.
void EnterSession(ForkOrder* order) {
  PyOS_AfterFork_Child();
  CopyPagesUntil(order->fds[carrel::sandbox::kForkGate].get());
  zygote->EnterChild(*order);
}

PyObject* OwnPages(PyObject* /*module*/, PyObject* /*none*/) {
  CopyPages(std::span(rehearsed).subspan(copied));
  Py_RETURN_NONE;
}

// What a zygote frees stays in malloc's bins as it came; the first larger request puts them in order and writes to
// every free chunk on the way. In a child that is a copied page for most of them (1200 faults, 4 ms), so it is done
// here.
void SettleHeap() {
  constexpr size_t kLarge = 64 << 10;
  void* volatile block = std::malloc(kLarge);
  std::free(block);
}

// Takes every free chunk of malloc's that is not at the end of the heap, for good. A child then gets its memory from
// there, in one piece, instead of from holes on pages that it shares and would have to copy one by one.
void FillHoles() {
  constexpr size_t kLargest = 64 << 10;
  constexpr size_t kSmallest = 16;
  SettleHeap();
  const auto end = reinterpret_cast<uintptr_t>(::sbrk(0));
  const uintptr_t top = end - ::mallinfo2().keepcost;
  for (size_t size = kLargest; size >= kSmallest; size /= 2) {
    while (true) {
      void* volatile block = std::malloc(size);
      if (block != nullptr && reinterpret_cast<uintptr_t>(block) < top) continue;
      std::free(block);
      break;
    }
  }
}

// Finds out which pages a session writes to before its first cell has ended, by having `rehearse` do as much in a
// child. Every session then gets its own copies of these at once: a call to the kernel for a run of pages, instead of a
// fault for each (1100 of them). Without /proc, or when the rehearsal fails, the faults come one by one.
std::vector<PageRange> Rehearse(PyObject* rehearse) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {};
  const pid_t child = ::fork();
  if (child == 0) {
    PyOS_AfterFork_Child();
    PyObject* done = PyObject_CallNoArgs(rehearse);
    if (done == nullptr) {
      PyErr_Print();
      ::_exit(1);
    }
    ::_exit(WriteOwnPages(ends[1]) ? 0 : 1);
  }
  ::close(ends[1]);
  std::vector<PageRange> pages = child < 0 ? std::vector<PageRange>() : ReadPages(ends[0]);
  ::close(ends[0]);
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0) {
    std::fprintf(stderr, "zygote: the rehearsal failed; sessions start more slowly\n");
    return {};
  }
  return pages;
}

// true: in a session's process, entered. false: the jailer is gone.
bool ForkSessions() {
  while (std::optional<ForkOrder> order = zygote->Next()) {
    // Kept for good in the child, see above.
    auto* kept = new ForkOrder(*std::move(order));
    SettleHeap();
    if (zygote->Fork(*kept) == 0) {
      EnterSession(kept);
      return true;
    }
    delete kept;
  }
  return false;
}

PyObject* Serve(PyObject* /*module*/, PyObject* rehearse) {
  if (zygote == nullptr) return Raise(absl::FailedPreconditionError("connect() first"));
  JoinLibraryMappings();
  FillHoles();
  CollapseHeap();
  // Once for all forks: in between no Python runs here. What it would write to (locks, and the reference counts of all
  // that takes them) lies on pages that the children share, and a huge page that is shared is broken up for good when
  // it is written to.
  PyOS_BeforeFork();
  rehearsed = Rehearse(rehearse);
  const absl::Status ready = zygote->Ready();
  if (ready.ok() && ForkSessions()) Py_RETURN_TRUE;
  PyOS_AfterFork_Parent();
  if (!ready.ok()) return Raise(ready);
  Py_RETURN_FALSE;
}

PyMethodDef methods[] = {
    {"connect", Connect, METH_NOARGS, "Takes the jailer's socket."},
    {"own_pages", OwnPages, METH_NOARGS, "Copies the pages that every session writes to."},
    {"serve", Serve, METH_O, "Forks a child for every session; True in the child, False when the jailer is gone."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    "_carrel_zygote",
    "Forks of this process, each in a jail of its own.",
    -1,
    methods,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit__carrel_zygote() { return PyModule_Create(&definition); }
