// _carrel_zygote: the zygote's privileged step, for Python. The work is sandbox/zygote.h's; here is only how an
// interpreter forks without breaking (what os.fork does around fork).
//
//   connect()             takes the jailer's socket; once, before anything else
//   serve(prepare)        says that all is imported, then forks a child for every session. Returns True in each child,
//                         in its jail; False in the zygote, when the jailer is gone. `prepare()` is called in the child
//                         before it enters, while the jailer still makes the jail: no user code has been seen then.
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include "sandbox/zygote.h"

namespace {

using carrel::sandbox::ForkOrder;
using carrel::sandbox::Zygote;

// Lives as long as the process: a child must not close descriptors whose numbers are the session's by then.
Zygote* zygote = nullptr;

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

// In the child. Null with an exception set if `prepare` raised: the process then ends with its traceback.
PyObject* BecomeSession(ForkOrder* order, PyObject* prepare) {
  PyOS_AfterFork_Child();
  PyObject* prepared = PyObject_CallNoArgs(prepare);
  if (prepared == nullptr) return nullptr;
  Py_DECREF(prepared);
  zygote->EnterChild(*order);
  Py_RETURN_TRUE;
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

PyObject* Serve(PyObject* /*module*/, PyObject* prepare) {
  if (zygote == nullptr) return Raise(absl::FailedPreconditionError("connect() first"));
  FillHoles();
  if (absl::Status ready = zygote->Ready(); !ready.ok()) return Raise(ready);
  while (true) {
    std::optional<ForkOrder> order = zygote->Next();
    if (!order) Py_RETURN_FALSE;
    // Kept for good in the child, see above.
    auto* kept = new ForkOrder(*std::move(order));
    SettleHeap();
    PyOS_BeforeFork();
    if (zygote->Fork(*kept) == 0) return BecomeSession(kept, prepare);
    PyOS_AfterFork_Parent();
    delete kept;
  }
}

PyMethodDef methods[] = {
    {"connect", Connect, METH_NOARGS, "Takes the jailer's socket."},
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
