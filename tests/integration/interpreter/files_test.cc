// Files in the real jail: large ones in constant memory, names in every script, hostile shapes, snapshots.
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/interpreter/jailed_test.h"

namespace carrel::testing {
namespace {

namespace v1 = interpreter::v1;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

constexpr size_t kPiece = 1 << 20;

class FilesTest : public JailedTest {
 protected:
  static std::vector<std::string> Paths() {
    grpc::ClientContext context;
    v1::ListFilesRequest request;
    request.set_session_id(session_);
    v1::ListFilesResponse response;
    EXPECT_TRUE(client_->stub().ListFiles(&context, request, &response).ok());
    std::vector<std::string> paths;
    for (const v1::File& file : response.files()) paths.push_back(file.path());
    return paths;
  }
  struct Exported {
    grpc::Status status;
    std::string archive;
    v1::WorkspaceSummary summary;
  };
  static Exported Export(const std::string& session) {
    grpc::ClientContext context;
    v1::ExportWorkspaceRequest request;
    request.set_session_id(session);
    const auto reader = client_->stub().ExportWorkspace(&context, request);
    Exported exported;
    v1::ExportWorkspaceResponse response;
    while (reader->Read(&response)) {
      exported.archive += response.data();
      if (response.has_summary()) exported.summary = response.summary();
    }
    exported.status = reader->Finish();
    return exported;
  }
  static grpc::Status Import(const std::string& session, const std::string& archive, bool replace = false,
                             v1::WorkspaceSummary* summary = nullptr) {
    grpc::ClientContext context;
    v1::ImportWorkspaceResponse response;
    const auto writer = client_->stub().ImportWorkspace(&context, &response);
    v1::ImportWorkspaceRequest request;
    request.mutable_header()->set_session_id(session);
    request.mutable_header()->set_replace(replace);
    writer->Write(request);
    for (size_t at = 0; at < archive.size(); at += kPiece) {
      request.set_data(archive.substr(at, kPiece));
      if (!writer->Write(request)) break;
    }
    writer->WritesDone();
    grpc::Status status = writer->Finish();
    if (summary != nullptr) *summary = response.summary();
    return status;
  }
  // In bytes: the most that the process has held at once.
  static uint64_t PeakMemory(pid_t pid) {
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) << 10;
    }
    return 0;
  }
  static pid_t ServerPid() {
    std::ifstream children("/proc/" + std::to_string(server_->jailer().pid()) + "/task/" +
                           std::to_string(server_->jailer().pid()) + "/children");
    for (pid_t pid = 0; children >> pid;) {
      std::ifstream name("/proc/" + std::to_string(pid) + "/comm");
      std::string text;
      std::getline(name, text);
      if (text == "carrel-interpre") return pid;
    }
    return 0;
  }
};

TEST_F(FilesTest, HalfAGigabyteGoesUpAndDownInConstantMemory) {
  constexpr uint64_t kBytes = 512 << 20;
  v1::Limits limits;
  limits.set_workspace_bytes(kBytes + (1 << 20));
  limits.set_memory_bytes(1 << 30);
  const std::string session = client_->NewSession(limits);
  const pid_t server = ServerPid();
  ASSERT_NE(server, 0);
  const uint64_t before = PeakMemory(server);
  const auto started = std::chrono::steady_clock::now();
  std::string piece(kPiece, '\0');
  const auto fill = [&piece](uint64_t number) {
    for (size_t i = 0; i < piece.size(); i += 8) piece.replace(i, 8, reinterpret_cast<const char*>(&number), 8);
  };
  {
    grpc::ClientContext context;
    v1::File file;
    const auto writer = client_->stub().UploadFile(&context, &file);
    v1::UploadFileRequest request;
    request.mutable_header()->set_session_id(session);
    request.mutable_header()->set_path("large.bin");
    request.mutable_header()->set_size_bytes(kBytes);
    ASSERT_TRUE(writer->Write(request));
    for (uint64_t at = 0; at < kBytes; at += kPiece) {
      fill(at);
      request.set_data(piece);
      ASSERT_TRUE(writer->Write(request));
    }
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(file.size_bytes(), kBytes);
  }
  const auto uploaded = std::chrono::steady_clock::now();
  {
    grpc::ClientContext context;
    v1::DownloadFileRequest request;
    request.set_session_id(session);
    request.set_path("large.bin");
    const auto reader = client_->stub().DownloadFile(&context, request);
    v1::DownloadFileResponse response;
    uint64_t bytes = 0;
    while (reader->Read(&response)) {
      for (size_t i = 0; i + 8 <= response.data().size(); i += 64 << 10) {
        uint64_t number = 0;
        response.data().copy(reinterpret_cast<char*>(&number), 8, i);
        ASSERT_EQ(number, (bytes + i) / kPiece * kPiece);
      }
      bytes += response.data().size();
    }
    ASSERT_TRUE(reader->Finish().ok());
    EXPECT_EQ(bytes, kBytes);
  }
  const auto downloaded = std::chrono::steady_clock::now();
  const uint64_t grown = PeakMemory(server) - before;
  EXPECT_LT(grown, 48U << 20) << "the server holds a few pieces, not the file";
  const auto ms = [](auto from, auto to) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(to - from).count();
  };
  std::cout << "512 MiB up in " << ms(started, uploaded) << " ms, down in " << ms(uploaded, downloaded)
            << " ms; the server's peak grew by " << (grown >> 10) << " KiB\n";
  EXPECT_TRUE(client_->Delete(session));
}

TEST_F(FilesTest, NamesInEveryScriptGoUpAndDownAndIntoTheCode) {
  const std::vector<std::string> names = {"Übergrößenträger.csv",
                                          "отчёт за год.txt",
                                          "גרף.png",
                                          "تقرير.pdf",
                                          "表計算.xlsx",
                                          "보고서.md",
                                          "ข้อมูล.json",
                                          "हिन्दी/फ़ाइल.txt",
                                          "ελληνικά.log",
                                          "🦊📈.svg",
                                          "é decomposed é.txt",
                                          "a 'quoted' \"name\".txt",
                                          "-rf.txt",
                                          "%2e%2e.txt",
                                          "$(reboot).txt",
                                          "a;b|c&d.txt"};
  for (const std::string& name : names) {
    EXPECT_TRUE(client_->Upload(session_, name, "up " + name).ok()) << name;
    EXPECT_EQ(client_->Download(session_, name), "up " + name) << name;
  }
  EXPECT_THAT(Paths(), ::testing::UnorderedElementsAreArray(names));
  const Ran ran =
      Run("import os\nfor folder, _, files in os.walk('/mnt/data'):\n    for name in files:\n"
          "        path = os.path.join(folder, name)\n        text = open(path).read()\n"
          "        assert text == 'up ' + os.path.relpath(path, '/mnt/data'), path\n"
          "        open(path, 'a').write('!')");
  EXPECT_EQ(ran.outcome.kind(), v1::COMPLETED) << ran.outcome.exception().traceback();
  std::vector<std::string> artifacts;
  for (const v1::Artifact& artifact : ran.artifacts) artifacts.push_back(artifact.path());
  EXPECT_THAT(artifacts, ::testing::UnorderedElementsAreArray(names)) << "byte for byte, without normalisation";
  EXPECT_THAT(ran.outcome.skipped(), IsEmpty());
}

TEST_F(FilesTest, ASnapshotKeepsContentNamesModesAndTimes) {
  const Ran made =
      Run("import os\nos.makedirs('deep/er/empty')\nopen('deep/er/a.txt', 'w').write('A' * 70_000)\n"
          "open('.hidden', 'w').write('h')\nopen('schön ✓.txt', 'w').write('s')\nopen('nothing', 'w').close()\n"
          "os.chmod('deep/er/a.txt', 0o755); os.chmod('.hidden', 0o400); os.chmod('deep', 0o750)\n"
          "os.utime('deep/er/a.txt', ns=(1, 1_600_000_000_123_456_789)); os.utime('nothing', ns=(0, -5_000_000_001))\n"
          "open('n' * 200, 'w').write('long')\nos.symlink('/etc/passwd', 'link'); os.mkfifo('fifo')\n"
          "os.utime('deep', ns=(1, 1_500_000_000_000_000_000))");
  ASSERT_EQ(made.outcome.kind(), v1::COMPLETED) << made.outcome.exception().traceback();
  const Exported exported = Export(session_);
  ASSERT_TRUE(exported.status.ok()) << exported.status.error_message();
  EXPECT_EQ(exported.summary.files(), 5U);
  EXPECT_EQ(exported.summary.directories(), 3U);
  ASSERT_EQ(exported.summary.skipped_size(), 2);
  EXPECT_EQ(exported.summary.skipped(0).reason(), "fifo");
  EXPECT_EQ(exported.summary.skipped(1).reason(), "symlink");

  const std::string show =
      "import os\n[(p, oct(s.st_mode), s.st_size if not os.path.isdir(p) else 0, s.st_mtime_ns if p != 'deep/er' and p "
      "!= "
      "'deep/er/empty' else 0)\n for p in sorted(os.path.relpath(os.path.join(d, n)) for d, ds, fs in os.walk('.') for "
      "n in "
      "ds + fs)\n for s in [os.lstat(p)] if p not in ('link', 'fifo')]";
  const std::string before = Run(show).result();
  const std::string other = client_->NewSession();
  v1::WorkspaceSummary summary;
  const grpc::Status imported = Import(other, exported.archive, false, &summary);
  ASSERT_TRUE(imported.ok()) << imported.error_message();
  EXPECT_EQ(summary.files(), 5U);
  const Ran after = client_->Run(other, show);
  EXPECT_EQ(after.result(), before);
  EXPECT_TRUE(after.artifacts.empty()) << "what was imported is no artifact of the next call";
  EXPECT_EQ(client_->Run(other, "open('deep/er/a.txt').read() == 'A' * 70_000").result(), "True");
  EXPECT_EQ(
      client_->Run(other, "open('deep/er/a.txt', 'a').write('x'); os.stat('nothing').st_uid == os.getuid()").result(),
      "True");
  // Once more: what is there is not overwritten unless asked.
  EXPECT_EQ(Import(other, exported.archive).error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_TRUE(Import(other, exported.archive, true).ok());
  EXPECT_EQ(client_->Run(other, "os.path.getsize('deep/er/a.txt')").result(), "70000");
  EXPECT_TRUE(client_->Delete(other));
}

TEST_F(FilesTest, PythonsTarfileReadsAnExportAndWritesAnImport) {
  // In a session: its Python is the other side of the format.
  ASSERT_EQ(Run("import os\nos.makedirs('ü')\nopen('ü/a', 'w').write('x' * 1000)\nopen('b' * 150, 'w').write('y')")
                .outcome.kind(),
            v1::COMPLETED);
  const Exported exported = Export(session_);
  ASSERT_TRUE(exported.status.ok());
  const std::string other = client_->NewSession();
  ASSERT_TRUE(client_->Upload(other, "e.tar", exported.archive).ok());
  const Ran listed = client_->Run(
      other, "import tarfile\nwith tarfile.open('e.tar') as t:\n    for m in t: print(m.name, m.size, m.isdir())");
  EXPECT_EQ(listed.out, std::string(150, 'b') + " 1 False\nü 0 True\nü/a 1000 False\n");
  for (const std::string format : {"PAX_FORMAT", "GNU_FORMAT", "USTAR_FORMAT"}) {
    const Ran written =
        client_->Run(other,
                     "import io\ndef add(t, name, data=None, kind=None):\n    info = tarfile.TarInfo(name)\n"
                     "    info.mtime = 1234.5 if '" +
                         format +
                         "' == 'PAX_FORMAT' else 1234\n"
                         "    if data is None: info.type = tarfile.DIRTYPE; info.mode = 0o755\n"
                         "    else: info.size = len(data)\n    t.addfile(info, io.BytesIO(data or b''))\n"
                         "with tarfile.open('i.tar', 'w', format=tarfile." +
                         format +
                         ") as t:\n"
                         "    add(t, './'); add(t, 'd'); add(t, 'd/f.bin', b'data' * 300); add(t, 'd/' + 'l' * 90 + "
                         "'.txt', b'long')");
    ASSERT_EQ(written.outcome.kind(), v1::COMPLETED) << written.outcome.exception().traceback();
    const std::string third = client_->NewSession();
    const grpc::Status status = Import(third, client_->Download(other, "i.tar"));
    EXPECT_TRUE(status.ok()) << format << ": " << status.error_message();
    EXPECT_EQ(client_
                  ->Run(third,
                        "import os\nopen('d/f.bin', 'rb').read() == b'data' * 300, int(os.stat('d/f.bin').st_mtime), "
                        "os.path.getsize('d/' + 'l' * 90 + '.txt')")
                  .result(),
              "(True, 1234, 4)")
        << format;
    EXPECT_TRUE(client_->Delete(third));
  }
  const Ran gnu = client_->Run(other, "!mkdir -p g/h && echo hi > g/h/i && tar -C g -cf gnu.tar . && echo made");
  ASSERT_EQ(gnu.out, "made\n") << gnu.err;
  EXPECT_TRUE(Import(session_, client_->Download(other, "gnu.tar")).ok());
  EXPECT_EQ(Run("open('h/i').read()").result(), "'hi\\n'");
  EXPECT_TRUE(client_->Delete(other));
}

TEST_F(FilesTest, HostileArchivesChangeNothing) {
  const std::string other = client_->NewSession();
  const std::string prologue =
      "import io, tarfile\ndef member(t, name, data=b'', **fields):\n    info = tarfile.TarInfo(name)\n"
      "    info.size = len(data)\n    for key, value in fields.items(): setattr(info, key, value)\n"
      "    t.addfile(info, io.BytesIO(data))\n"
      "with tarfile.open('h.tar', 'w') as t:\n    member(t, 'innocent.txt', b'x')\n    ";
  const std::vector<std::pair<std::string, std::string>> hostile = {
      {"member(t, '../up.txt', b'x')", "without empty"},
      {"member(t, '/etc/cron.d/x', b'x')", "relative path"},
      {"member(t, 'a/../../x', b'x')", "relative path"},
      {"member(t, 'link', type=tarfile.SYMTYPE, linkname='/etc')", "a symbolic link"},
      {"member(t, 'link', type=tarfile.SYMTYPE, linkname='/etc'); member(t, 'link/passwd', b'x')", "a symbolic link"},
      {"member(t, 'hard', type=tarfile.LNKTYPE, linkname='innocent.txt')", "a hard link"},
      {"member(t, 'dev', type=tarfile.CHRTYPE, devmajor=1, devminor=1)", "a character device"},
      {"member(t, 'disk', type=tarfile.BLKTYPE, devmajor=8)", "a block device"},
      {"member(t, 'pipe', type=tarfile.FIFOTYPE)", "a FIFO"},
      {"member(t, 'innocent.txt', b'again')", "each path once"},
      {"member(t, 'innocent.txt/below', b'x')", "nothing below a file"},
      {"member(t, 'new\\nline', b'x')", "control characters"},
      {"member(t, 'a\\u202eb', b'x')", "direction of text"},
      {"member(t, 'n' * 300, b'x')", "255 bytes"},
      {"member(t, '/'.join('abcdefghijklmnopqrst'), b'x')", "16 parts"},
      {"[member(t, f'{n}') for n in range(10_001)]", "more than 10000 entries"},
      {"member(t, 'x', pax_headers={'linkpath': '/etc/passwd'})", "pax key"},
      {"member(t, 'x', pax_headers={'GNU.sparse.map': '0,1'})", "pax key"},
      {"t.fileobj.write(tarfile.TarInfo('huge').tobuf()[:124] + b'77777777777\\0' + b' ' * 376)", "no header"},
  };
  for (const auto& [line, reason] : hostile) {
    const Ran made = client_->Run(other, prologue + line);
    ASSERT_EQ(made.outcome.kind(), v1::COMPLETED) << line << made.outcome.exception().traceback();
    const grpc::Status status = Import(session_, client_->Download(other, "h.tar"));
    EXPECT_THAT(status.error_code(),
                ::testing::AnyOf(grpc::StatusCode::INVALID_ARGUMENT, grpc::StatusCode::RESOURCE_EXHAUSTED))
        << line;
    EXPECT_THAT(status.error_message(), HasSubstr(reason)) << line;
  }
  // More than the workspace of 8 MiB holds: refused by what the headers say, before anything is written.
  ASSERT_EQ(client_->Run(other, prologue + "member(t, 'big', b'x' * (9 << 20))").outcome.kind(), v1::COMPLETED);
  EXPECT_EQ(Import(session_, client_->Download(other, "h.tar")).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  for (const std::string& noise : {std::string(), std::string("not an archive"), std::string(100'000, 'x')}) {
    EXPECT_EQ(Import(session_, noise).error_code(), grpc::StatusCode::INVALID_ARGUMENT) << noise.substr(0, 20);
  }
  EXPECT_THAT(Paths(), IsEmpty());
  // A workspace that fills up in the middle: what was new is gone again.
  Run("open('most.bin', 'wb').write(b'x' * (6 << 20))");
  ASSERT_EQ(client_->Run(other, prologue + "member(t, 'b', b'y' * (5 << 20))").outcome.kind(), v1::COMPLETED);
  EXPECT_EQ(Import(session_, client_->Download(other, "h.tar")).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(Paths(), ElementsAre("most.bin"));
  EXPECT_TRUE(client_->Delete(other));
}

TEST_F(FilesTest, AnImportDoesNotFollowWhatTheCodePlanted) {
  const std::string other = client_->NewSession();
  ASSERT_EQ(
      client_->Run(other, "import os\nos.makedirs('d')\nopen('d/f', 'w').write('through')\nopen('f', 'w').write('x')")
          .outcome.kind(),
      v1::COMPLETED);
  const Exported exported = Export(other);
  Run("import os\nos.symlink('/tmp', 'd'); os.symlink('/tmp/target', 'f')");
  EXPECT_EQ(Import(session_, exported.archive, true).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Run("sorted(os.listdir('/tmp'))").result(), "[]");
  EXPECT_TRUE(client_->Delete(other));
}

TEST_F(FilesTest, ADeadSessionsFilesCanBeExported) {
  EXPECT_EQ(Run("open('last.txt', 'w').write('words')\nimport os; os.abort()").outcome.kind(), v1::SIGNALLED);
  const Exported exported = Export(session_);
  ASSERT_TRUE(exported.status.ok()) << exported.status.error_message();
  EXPECT_EQ(exported.summary.files(), 1U);
  const std::string other = client_->NewSession();
  EXPECT_TRUE(Import(other, exported.archive).ok());
  EXPECT_EQ(client_->Download(other, "last.txt"), "words");
  EXPECT_TRUE(client_->Delete(other));
}

TEST_F(FilesTest, AnExportOfFilesThatChangeEndsWithTheTruth) {
  Run("import os, threading\nfile = open('breathes', 'wb', buffering=0)\ndef pump():\n    while True:\n"
      "        os.pwrite(file.fileno(), b'x' * 4_000_000, 0); os.ftruncate(file.fileno(), 0)\n"
      "threading.Thread(target=pump, daemon=True).start()");
  for (int i = 0; i < 20; ++i) {
    const Exported exported = Export(session_);
    if (exported.status.ok()) {
      EXPECT_EQ(exported.archive.size() % 512, 0U);
    } else {
      EXPECT_EQ(exported.status.error_code(), grpc::StatusCode::ABORTED);
      EXPECT_THAT(exported.status.error_message(), HasSubstr("breathes became shorter"));
    }
  }
}

TEST_F(FilesTest, ThousandsOfFilesAreListedAndReported) {
  v1::Limits limits;
  limits.set_artifacts(4096);
  const Ran ran = client_->Run(session_,
                               "import os\nfor n in range(4000):\n    os.makedirs(f'{n % 40}', exist_ok=True)\n"
                               "    open(f'{n % 40}/{n}.txt', 'w').write(str(n))",
                               limits);
  EXPECT_EQ(ran.outcome.kind(), v1::COMPLETED) << ran.outcome.exception().traceback();
  EXPECT_EQ(ran.artifacts.size(), 4000U);
  EXPECT_EQ(Paths().size(), 4000U);
  const Exported exported = Export(session_);
  EXPECT_EQ(exported.summary.files(), 4000U);
}

}  // namespace
}  // namespace carrel::testing
