// What happens around a run: disks that cannot be written, sources that change, kills, two at a time.
#include <sched.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>

#include "cli/cli_tools.h"
#include "regroup/base/path.h"
#include "regroup/text/token_file.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

TEST(Outputs, ThatExistOrLieInTheInput) {
  const auto convert_to = [](const char* out) {
    return Words{"convert", "MODEL", out, "--kv-heads", "2"};
  };
  const auto file = [](const auto& w) { w.folder.write("a.txt", "Once."); };
  const Words uptrain = {"--data", "@a.txt", "--steps", "1", "--seq-len", "16"};
  check_all({
      {"OUT exists",
       [](const auto& w) {
         fs::create_directory(w.out);
         w.folder.write("out/keep.txt", "precious");
       },
       kConvert,
       2,
       "OUTPUT_EXISTS",
       {"OUT", "must not exist", "--overwrite"}},
      {"OUT is a file",
       [](const auto& w) { w.folder.write("out", "precious"); },
       kConvert,
       2,
       "OUTPUT_EXISTS",
       {"OUT", "must not exist"}},
      {"OUT is MODEL",
       {},
       convert_to("MODEL"),
       2,
       "OUTPUT_IS_INPUT",
       {"MODEL", "must lie outside the input", "beside the model"}},
      {"OUT inside MODEL", {}, convert_to("@model/gqa"), 2, "OUTPUT_IS_INPUT", {"@model/gqa"}},
      {"MODEL inside OUT", {}, convert_to("@"), 2, "OUTPUT_IS_INPUT", {"must lie outside"}},
      {"no parent",
       {},
       convert_to("@no/such/parent"),
       2,
       "OUTPUT_PARENT",
       {"@no/such/parent", "must exist", "create the parent folder"}},
      {"an empty name", {}, convert_to(""), 2, "OUTPUT_EMPTY", {"OUT must not be empty"}},
      {"a run inside MODEL",
       file,
       with({"uptrain", "MODEL", "@model/run"}, uptrain),
       2,
       "OUTPUT_IS_INPUT",
       {"@model/run"}},
      {"a run in a foreign folder",
       [&](const auto& w) {
         file(w);
         fs::create_directory(w.out);
       },
       with({"uptrain", "MODEL", "OUT"}, uptrain),
       2,
       "OUTPUT_EXISTS",
       {"OUT", "holds no run of regroup uptrain", "choose another name"}},
      {"nothing to resume",
       {},
       with(kConvert, {"--resume", "required"}),
       2,
       "PARTIAL_MISSING",
       {"must hold an interrupted run", "leave out --resume"}},
  });
}

/// `regroup` brought to a halt as soon as a path exists; killed at the end of the scope.
class Halted {
 public:
  Halted(const Words& arguments, const std::string& path)
      : child_(start_process(REGROUP_BINARY, arguments, folder_ / "out", folder_ / "err")) {
    while (!ended_ && !path_exists(path)) {
      ended_ = ::waitpid(child_, &status_, WNOHANG) == child_;
      ::sched_yield();
    }
    if (ended_) return;
    ::kill(child_, SIGSTOP);
    ::waitpid(child_, &status_, WUNTRACED);
    ended_ = !WIFSTOPPED(status_);
  }
  Halted(const Halted&) = delete;
  Halted& operator=(const Halted&) = delete;
  ~Halted() {
    if (!ended_) end(SIGKILL);
  }
  bool in_time() const { return !ended_; }  ///< it was halted before its end
  void send(int signal) const { ::kill(child_, signal); }
  /// Lets it go on, or kills it. @return its exit code; -1 after a signal
  int end(int signal = SIGCONT) {
    ::kill(child_, signal);
    ::waitpid(child_, &status_, 0);
    ended_ = true;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1;
  }
  std::string err() const { return read_file(folder_ / "err"); }

 private:
  TemporaryFolder folder_;
  pid_t child_;
  int status_ = 0;
  bool ended_ = false;
};

/// A parent of 34 MB: its conversion takes long enough to be halted.
class Conversion : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    parent_ = std::make_unique<TemporaryFolder>();
    write_tiny_model(*parent_ / "model", {.n_layers = 1, .hidden_size = 256, .vocab_size = 16384});
  }
  static void TearDownTestSuite() { parent_.reset(); }

  Words convert() const { return {"convert", *parent_ / "model", out_, "--kv-heads", "2"}; }

  /// Starts a conversion and halts it in the middle; nothing if it was too quick each time.
  std::unique_ptr<Halted> halted() const {
    for (int attempt = 0; attempt < 10; ++attempt) {
      auto run = std::make_unique<Halted>(convert(), out_ + ".partial/JOB.json");
      if (run->in_time() && !path_exists(out_)) return run;
      fs::remove_all(out_);
    }
    return nullptr;
  }

  static std::unique_ptr<TemporaryFolder> parent_;
  TemporaryFolder folder_;
  std::string out_ = folder_ / "out";
};
std::unique_ptr<TemporaryFolder> Conversion::parent_;

TEST_F(Conversion, TheSourceChangesWhileItIsRead) {
  const auto run = halted();
  if (run == nullptr) GTEST_SKIP() << "the conversion was always quicker";
  const std::string shard = *parent_ / "model/model.safetensors";
  fs::last_write_time(shard, fs::last_write_time(shard) + std::chrono::seconds(3));
  EXPECT_EQ(run->end(), 3);
  EXPECT_TRUE(is_civil(run->err()));
  for (const std::string& word :
       {std::string("error[SRC_CHANGED]"), shard, std::string("must not change while it is read"),
        std::string("hint: run the command again when nothing writes")}) {
    EXPECT_TRUE(contains(run->err(), word));
  }
  EXPECT_FALSE(path_exists(out_));
}

TEST_F(Conversion, AKilledOneLeavesNoOutAndIsFinishedByTheSameCommand) {
  const auto run = halted();
  if (run == nullptr) GTEST_SKIP() << "the conversion was always quicker";
  EXPECT_EQ(run->end(SIGKILL), -1);
  EXPECT_FALSE(path_exists(out_));
  // Other settings would need other files: the field that differs is named.
  Words other = convert();
  other.back() = "1";
  const Finished refused = regroup(other);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_TRUE(contains(refused.err, "error[CKPT_MISMATCH]"));
  EXPECT_TRUE(contains(refused.err, "arguments.kv_heads (was 2, now 1)"));
  const Finished same = regroup(convert());
  EXPECT_EQ(same.exit_code, 0) << same.err;
  EXPECT_EQ(regroup({"verify", out_, "--against", *parent_ / "model"}).exit_code, 0);
  EXPECT_FALSE(path_exists(out_ + ".partial"));
}

TEST_F(Conversion, ASecondProcessIsRefused) {
  const auto run = halted();
  if (run == nullptr) GTEST_SKIP() << "the conversion was always quicker";
  const Finished second = regroup(convert());
  EXPECT_EQ(second.exit_code, 2);
  EXPECT_TRUE(contains(second.err, "error[LOCKED]"));
  EXPECT_TRUE(contains(second.err, "is being written by another process"));
  EXPECT_TRUE(contains(second.err, "hint: wait for the other process"));
  EXPECT_EQ(run->end(), 0) << run->err();
  EXPECT_TRUE(path_exists(out_));
}

/// A model, a token file and the uptraining of 100,000 steps.
struct Uptraining {
  Uptraining() {
    TokenFileWriter writer(w.folder / "a.bin", 64);
    writer.add(std::vector<int32_t>(200, 1));
    writer.finish();
    command = {"uptrain", w.model,    w.out,       "--data",    w.folder / "a.bin",
               "--steps", "100000",   "--seq-len", "16",        "--batch-size",
               "2",       "--device", "cpu",       "--threads", "1",
               "--quiet"};
  }
  Workplace w;
  Words command;
};

TEST(Uptrain, ASecondProcessIsRefused) {
  const Uptraining u;
  const Halted run(u.command, u.w.out + "/metrics.jsonl");
  ASSERT_TRUE(run.in_time()) << run.err();
  const std::string before = read_tree(u.w.out);
  const Finished second = regroup(u.command);
  EXPECT_EQ(second.exit_code, 2);
  EXPECT_TRUE(contains(second.err, "error[LOCKED] " + u.w.out));
  EXPECT_TRUE(read_tree(u.w.out) == before) << "the second process changed OUT";
}

TEST(Uptrain, InterruptedItStopsBehindAStep) {
  const Uptraining u;
  Halted run(u.command, u.w.out + "/metrics.jsonl");
  ASSERT_TRUE(run.in_time()) << run.err();
  run.send(SIGTERM);
  EXPECT_EQ(run.end(), 75) << run.err();
  EXPECT_TRUE(is_civil(run.err()));
  EXPECT_TRUE(contains(run.err(), "stopping once the work at hand is done")) << "said at once";
  EXPECT_TRUE(contains(run.err(), "hint: run the same command again"));
  EXPECT_FALSE(fs::is_empty(u.w.out + "/checkpoints"));
  EXPECT_FALSE(path_exists(u.w.out + "/model"));
}

// Commands that write, as a user who may not.
class ReadOnly : public ::testing::Test {
 protected:
  void SetUp() override {
    ::chmod(w_.folder.path().c_str(), 0555);
    if (::geteuid() != 0) return;
    if (!path_exists("/usr/bin/setpriv")) GTEST_SKIP() << "root, and no setpriv";
    if (run({"--version"}).exit_code != 0) GTEST_SKIP() << "another user cannot run the binary";
  }
  void TearDown() override { ::chmod(w_.folder.path().c_str(), 0755); }

  Finished run(Words arguments) const {
    if (::geteuid() != 0) return regroup(arguments);
    const Words user = {"--reuid=65534", "--regid=65534", "--clear-groups", REGROUP_BINARY};
    arguments.insert(arguments.begin(), user.begin(), user.end());
    return run_process("/usr/bin/setpriv", arguments);
  }

  void expect_refused(const Words& arguments) const {
    const Finished refused = run(arguments);
    EXPECT_EQ(refused.exit_code, 5) << refused.err;
    EXPECT_TRUE(is_civil(refused.err));
    EXPECT_TRUE(contains(refused.err, "error[IO_READ_ONLY] " + w_.out));
    EXPECT_TRUE(contains(refused.err, "Permission denied"));
    EXPECT_TRUE(contains(refused.err, "hint: choose a folder that this user may write to"));
    EXPECT_FALSE(path_exists(w_.out));
  }

  Workplace w_;
};

TEST_F(ReadOnly, IsSaidByConvertAndUptrain) {
  expect_refused({"convert", w_.model, w_.out, "--kv-heads", "2"});
  expect_refused({"convert", w_.model, w_.out, "--kv-heads", "2", "--dry-run"});
  ::chmod(w_.folder.path().c_str(), 0755);
  TokenFileWriter writer(w_.folder / "a.bin", 64);
  writer.add(std::vector<int32_t>(40, 1));
  writer.finish();
  ::chmod(w_.folder.path().c_str(), 0555);
  expect_refused({"uptrain", w_.model, w_.out, "--data", w_.folder / "a.bin", "--steps", "1",
                  "--seq-len", "16", "--device", "cpu", "--threads", "1"});
  expect_refused({"eval", w_.model, "--tokens", w_.folder / "a.bin", "--out", w_.out, "--device",
                  "cpu", "--threads", "1"});
}

// A file system of 256 KiB that nobody but the commands sees.
class FullDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(disk_);
    if (in_namespace("true").exit_code != 0) GTEST_SKIP() << "unshare may not mount a tmpfs";
  }

  /// Runs a shell command with the small disk mounted; `$0` is the binary.
  Finished in_namespace(const std::string& command) const {
    const std::string mount = "mount -t tmpfs -o size=256k tmpfs " + disk_ + " && ";
    return run_process("/usr/bin/unshare", {"-m", "sh", "-c", mount + command, REGROUP_BINARY});
  }

  void expect_full(const std::string& arguments, const std::string& left) const {
    SCOPED_TRACE(arguments);
    // What lies on the disk afterwards is listed behind the messages.
    const Finished run =
        in_namespace("{ \"$0\" " + arguments + "; code=$?; ls -A " + disk_ + "; exit $code; }");
    EXPECT_EQ(run.exit_code, 5) << run.err;
    EXPECT_TRUE(is_civil(run.err));
    EXPECT_TRUE(contains(run.err, "error[IO_NO_SPACE] " + disk_));
    EXPECT_TRUE(contains(run.err, "hint: free some space"));
    EXPECT_EQ(run.out, left);
  }

  Workplace w_;
  std::string disk_ = w_.folder / "disk";
};

TEST_F(FullDisk, IsSaidByEveryCommandThatWrites) {
  const TinyModelSpec spec{.n_layers = 1, .hidden_size = 64, .vocab_size = 2048};
  write_tiny_model(w_.model, spec);  // 1 MiB
  TokenFileWriter writer(w_.folder / "a.bin", 64);
  writer.add(std::vector<int32_t>(40, 1));
  writer.finish();
  const std::string quiet = " --device cpu --threads 1 --quiet";
  expect_full(fmt::format("convert {} {}/out --kv-heads 2", w_.model, disk_), "");
  // A run keeps what it has: with more room the same command goes on.
  expect_full(fmt::format("uptrain {} {}/out --data {}/a.bin --steps 1 --seq-len 16{}", w_.model,
                          disk_, w_.folder.path(), quiet),
              "out\n");
}

TEST_F(FullDisk, IsSaidOfScratchSpace) {
  write_tiny_model(w_.model, {.n_layers = 1, .hidden_size = 64, .vocab_size = 2048});
  TokenFileWriter writer(w_.folder / "a.bin", 2048);
  for (int32_t i = 0; i < 4000; ++i) writer.add(std::vector<int32_t>(1, i % 2048));
  writer.finish();
  // Activations of 4,000 tokens take 2 MB.
  expect_full(fmt::format("convert {} {} --kv-heads 2 --calibration {}/a.bin --scratch {} --device "
                          "cpu --threads 1 --quiet",
                          w_.model, w_.out, w_.folder.path(), disk_),
              "");
  EXPECT_FALSE(path_exists(w_.out));
  EXPECT_FALSE(path_exists(w_.out + ".partial"));
}

TEST_F(FullDisk, LeavesNoTokenFile) {
  if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
  write_tiny_model(w_.model, {.n_layers = 1, .n_heads = 8, .head_dim = 4, .vocab_size = 512});
  fs::copy_file(kTokenizer, w_.model + "/tokenizer.model");
  std::string text;
  for (int i = 0; i < 40000; ++i) text += fmt::format("Tom has {} kites. ", i);
  w_.folder.write("a.txt", text);
  expect_full(
      fmt::format("tokenize {} {}/a.txt --out {}/a.bin --quiet", w_.model, w_.folder.path(), disk_),
      "");
}

}  // namespace
}  // namespace regroup::testing
