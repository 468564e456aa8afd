// usage: NAME CORPUS_DIR [--must-find | --planted]
//
// Runs every file of CORPUS_DIR/NAME and of CORPUS_DIR/regressions/NAME as it is, then mutations of them: the same ones
// in every run. CARREL_FUZZ_RUNS says how many (default 20 000), CARREL_FUZZ_SEED which. The input that breaks a
// promise is written to crash-NAME. --must-find: succeeds only when a promise is broken; the canary's way of showing
// that the fuzzer sees. --planted: the same of the bug that the target plants in itself (Planted).
#include "fuzzer.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

namespace carrel::fuzz {
namespace {

constexpr size_t kInputMax = 16 << 10;

bool planted = false;

// For the signal handler, which may allocate nothing.
std::string_view current;
char crash_file[256];

void OnSignal(int signal) {
  int fd = open(crash_file, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  if (fd >= 0) {
    ssize_t ignored = write(fd, current.data(), current.size());
    (void)ignored;
    close(fd);
  }
  std::signal(signal, SIG_DFL);
  raise(signal);
}

std::vector<std::string> FilesIn(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> paths;
  if (std::filesystem::is_directory(directory)) {
    for (const auto& entry : std::filesystem::directory_iterator(directory)) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());  // the order of a directory differs from machine to machine
  std::vector<std::string> files;
  for (const auto& path : paths) {
    std::ifstream in(path, std::ios::binary);
    files.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return files;
}

// Pieces between the punctuation of all seeds: the grammar's words, found rather than listed.
std::vector<std::string> WordsOf(const std::vector<std::string>& seeds) {
  std::vector<std::string> words = {"\"",
                                    "{",
                                    "}",
                                    "[",
                                    "]",
                                    ":",
                                    ",",
                                    "null",
                                    "true",
                                    "-1",
                                    "1e999",
                                    "\r\n",
                                    "\n\n",
                                    "--",
                                    "%",
                                    "%00",
                                    "\\u0000",
                                    "\\ud800",
                                    "\xf0\x9f\x98\x80",
                                    "\xff",
                                    "\xc3",
                                    std::string(1, '\0'),
                                    "99999999999999999999",
                                    std::string(300, 'x'),
                                    std::string(200, '[')};
  for (const std::string& seed : seeds) {
    std::string word;
    for (char c : seed + "\n") {
      if (std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.') {
        word += c;
      } else {
        if (word.size() > 1 && std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
        word.clear();
      }
    }
  }
  return words;
}

class Mutator {
 public:
  Mutator(std::vector<std::string> seeds, uint32_t seed)
      : seeds_(std::move(seeds)), words_(WordsOf(seeds_)), random_(seed) {}

  std::string Next() {
    std::string input = seeds_[Below(seeds_.size())];
    for (size_t count = 1 + Below(6); count > 0; --count) Mutate(input);
    if (input.size() > kInputMax) input.resize(kInputMax);
    return input;
  }

 private:
  size_t Below(size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  void Mutate(std::string& input) {
    size_t at = Below(input.size() + 1);
    size_t length = std::min(input.size() - at, 1 + Below(Below(8) == 0 ? 200 : 8));
    switch (Below(9)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>(Below(256));
        break;
      case 1:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << Below(8)));
        break;
      case 2:
        input.erase(at, length);
        break;
      case 3:
        input.insert(at, words_[Below(words_.size())]);
        break;
      case 4:
        input.replace(at, length, words_[Below(words_.size())]);
        break;
      case 5:
        input.insert(Below(input.size() + 1), input.substr(at, length));
        break;
      case 6: {  // a piece of another
        const std::string& other = seeds_[Below(seeds_.size())];
        size_t from = Below(other.size() + 1);
        input.insert(at, other.substr(from, 1 + Below(60)));
        break;
      }
      case 7:
        for (size_t times = Below(40); times > 0; --times) input.insert(at, input.substr(at, length));
        break;
      default:
        input.resize(at);
    }
  }

  std::vector<std::string> seeds_;
  std::vector<std::string> words_;
  std::mt19937 random_;
};

long FromEnvironment(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtol(text, nullptr, 10);
}

int Fuzz(const std::string& name, const std::filesystem::path& corpus) {
  std::vector<std::string> seeds = FilesIn(corpus / name);
  for (std::string& found : FilesIn(corpus / "regressions" / name)) seeds.push_back(std::move(found));
  if (seeds.empty()) {
    std::fprintf(stderr, "%s has no files: nothing to begin with\n", (corpus / name).c_str());
    return 2;
  }
  for (const std::string& seed : seeds) {
    current = seed;
    Target(seed);
  }
  const long runs = FromEnvironment("CARREL_FUZZ_RUNS", 20'000);
  Mutator mutator(seeds, static_cast<uint32_t>(FromEnvironment("CARREL_FUZZ_SEED", 1)));
  for (long run = 0; run < runs; ++run) {
    std::string input = mutator.Next();
    current = input;
    Target(input);
  }
  std::printf("%s: %zu seeds, %ld mutations, no promise broken\n", name.c_str(), seeds.size(), runs);
  return 0;
}

// Whether the fuzzer, in a process of its own, dies of what it finds.
int MustFind(const std::string& name, const std::filesystem::path& corpus) {
  pid_t child = fork();
  if (child == 0) _exit(Fuzz(name, corpus));
  int status = 0;
  waitpid(child, &status, 0);
  const bool found = WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 2);
  std::printf("%s: %s\n", name.c_str(), found ? "found, as it must be" : "the planted bug was not found");
  return found ? 0 : 1;
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s CORPUS_DIR [--must-find | --planted]\n", argv[0]);
    return 2;
  }
  const std::string name = std::filesystem::path(argv[0]).filename();
  std::snprintf(crash_file, sizeof(crash_file), "crash-%s", name.c_str());
  for (int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(signal, OnSignal);
  const std::string_view option = argc > 2 ? argv[2] : "";
  planted = option == "--planted";
  return planted || option == "--must-find" ? MustFind(name, argv[1]) : Fuzz(name, argv[1]);
}

}  // namespace

bool Planted() { return planted; }

}  // namespace carrel::fuzz

int main(int argc, char** argv) { return carrel::fuzz::Main(argc, argv); }
