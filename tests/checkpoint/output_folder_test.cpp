// OUT is absent or complete, whatever happens, and the same job finishes what an earlier one began.
#include "regroup/checkpoint/output_folder.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "regroup/base/digest.h"
#include "regroup/base/folder.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/checkpoint/output_path.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

const Json kJob = {{"command", "convert"}, {"n_kv_heads", 2}, {"method", "mean"}};

/// What a job makes: four files of some 10 kB.
std::map<std::string, std::string> golden_files() {
  std::map<std::string, std::string> files;
  Random random(5);
  for (const char* name :
       {"model-1.safetensors", "model-2.safetensors", "config.json", "regroup.json"}) {
    std::string bytes(5'000 + random.below(10'000), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random.next());
    files[name] = bytes;
  }
  return files;
}

/// `read_tree` of a complete OUT.
std::string golden_tree() {
  std::string text;
  for (const auto& [name, bytes] : golden_files()) {
    text += name + "\n" + std::to_string(bytes.size()) + "\n" + bytes + "\n";
  }
  return text;
}

void write_one(OutputFolder& folder, const std::string& name, const std::string& bytes) {
  OutputFile file(folder.staging_path(name));
  for (size_t at = 0; at < bytes.size(); at += 1000)
    file.write(std::string_view(bytes).substr(at, 1000));
  file.sync_and_close();
  folder.commit(name, {{"sha256", sha256_of_text(bytes)}, {"size", bytes.size()}});
}

/// Does the whole job, or the first `n_files` of it without publishing.
/// @return how many files an earlier run had finished
int run_job(const std::string& out, OutputOptions options = {}, size_t n_files = 4,
            const Json& job = kJob) {
  OutputFolder folder(out, job, options);
  int found = 0;
  size_t done = 0;
  for (const auto& [name, bytes] : golden_files()) {
    if (done++ == n_files) return found;
    if (folder.finished(name)) {
      ++found;
    } else {
      write_one(folder, name, bytes);
    }
  }
  if (n_files == 4) folder.publish();
  return found;
}

class Output : public ::testing::Test {
 protected:
  TemporaryFolder temporary_;
  std::string out_ = temporary_ / "out";
  std::string partial_ = temporary_ / "out.partial";
};

TEST_F(Output, PublishesTheCommittedFilesAndNothingElse) {
  {
    OutputFolder folder(out_, kJob, {});
    EXPECT_FALSE(folder.resumed());
    EXPECT_EQ(folder.partial(), partial_);
    for (const auto& [name, bytes] : golden_files()) write_one(folder, name, bytes);
    write_file(partial_ + "/stray.tmp", "x");
    fs::create_directory(partial_ + "/stray");
    EXPECT_FALSE(path_exists(out_));
    folder.publish();
  }
  EXPECT_EQ(read_tree(out_), golden_tree());
  EXPECT_FALSE(path_exists(partial_));
}

TEST_F(Output, ASlashAtTheEndChangesNothing) {
  run_job(out_ + "//");
  EXPECT_EQ(read_tree(out_), golden_tree());
  EXPECT_FALSE(path_exists(partial_));
}

TEST_F(Output, TheSameJobResumes) {
  EXPECT_EQ(run_job(out_, {}, 2), 0);
  EXPECT_FALSE(path_exists(out_));
  {
    OutputFolder folder(out_, kJob, {});
    EXPECT_TRUE(folder.resumed());
    const auto record = folder.finished("config.json");
    ASSERT_TRUE(record.has_value());
    EXPECT_EQ((*record)["size"], golden_files()["config.json"].size());
    EXPECT_EQ(folder.finished("regroup.json"), std::nullopt);
  }
  EXPECT_EQ(run_job(out_), 2);
  EXPECT_EQ(read_tree(out_), golden_tree());
}

TEST_F(Output, AFinishedFileThatChangedIsMadeAgain) {
  run_job(out_, {}, 3);
  std::string bytes = read_file(partial_ + "/config.json");
  bytes[100] = static_cast<char>(bytes[100] ^ 1);
  write_file(partial_ + "/config.json", bytes);
  fs::remove(partial_ + "/model-1.safetensors");
  EXPECT_EQ(run_job(out_), 1);  // of three only model-2 is as it was
  EXPECT_EQ(read_tree(out_), golden_tree());
}

TEST_F(Output, AnotherJobDoesNotResume) {
  run_job(out_, {}, 2);
  Json other = {{"command", "convert"}, {"n_kv_heads", 4}, {"seed", 1}};
  const ErrorInfo error =
      expect_error<ConfigError>("CKPT_MISMATCH", [&] { run_job(out_, {}, 4, other); });
  EXPECT_EQ(error.message,
            partial_ +
                ": holds an interrupted run with other settings: n_kv_heads (was 2, now 4), "
                "seed (was nothing, now 1), method (was \"mean\", now nothing)");
  EXPECT_EQ(run_job(out_), 2);  // the earlier run was not touched
}

TEST_F(Output, AnotherJobMayDropTheOld) {
  const Json other = {{"n_kv_heads", 4}};
  for (const OutputOptions& options :
       {OutputOptions{.overwrite = true}, OutputOptions{.resume = ResumeMode::kNever}}) {
    run_job(out_, {}, 2);
    EXPECT_EQ(run_job(out_, options, 4, other), 0);
    EXPECT_EQ(read_tree(out_), golden_tree());
    remove_tree(out_);
  }
}

TEST_F(Output, ResumeModes) {
  expect_error<ConfigError>("PARTIAL_MISSING",
                            [&] { run_job(out_, {.resume = ResumeMode::kRequired}); });
  remove_tree(partial_);
  run_job(out_, {}, 2);
  EXPECT_EQ(run_job(out_, {.resume = ResumeMode::kNever}, 3), 0);
  EXPECT_EQ(run_job(out_, {.resume = ResumeMode::kRequired}), 3);
  EXPECT_EQ(value_of<ResumeMode>("auto", "--resume"), ResumeMode::kAuto);
  EXPECT_EQ(value_of<ResumeMode>("required", "--resume"), ResumeMode::kRequired);
  EXPECT_EQ(value_of<ResumeMode>("never", "--resume"), ResumeMode::kNever);
  EXPECT_EQ(expect_error<ConfigError>("FLAG_VALUE", [] { value_of<ResumeMode>("yes", "--resume"); })
                .message,
            "--resume must be auto, required or never, found yes");
}

// What a run leaves that was killed before its first JOB.json, or right before it was published.
TEST_F(Output, StaleFilesOfOursAreRemoved) {
  for (const char* name : {"JOB.json.tmp123", "regroup.json"}) {
    SCOPED_TRACE(name);
    fs::remove_all(out_);
    fs::create_directory(partial_);
    write_file(partial_ + "/" + name, "{}");
    EXPECT_EQ(run_job(out_), 0);
    EXPECT_EQ(read_tree(out_), golden_tree());
  }
}

TEST_F(Output, ForeignFilesAreLeftAlone) {
  fs::create_directory(partial_);
  write_file(partial_ + "/thesis.txt", "not ours");
  for (const bool overwrite : {false, true}) {
    expect_error<ConfigError>("PARTIAL_EXISTS",
                              [&] { OutputFolder folder(out_, kJob, {.overwrite = overwrite}); });
  }
  EXPECT_TRUE(fs::exists(partial_ + "/thesis.txt"));
}

TEST_F(Output, AnOutThatAppearsMeanwhileIsNotReplaced) {
  OutputFolder folder(out_, kJob, {});
  write_one(folder, "config.json", "{}");
  fs::create_directory(out_);  // rename() alone would replace an empty folder
  expect_error<ConfigError>("OUTPUT_EXISTS", [&] { folder.publish(); });
  EXPECT_EQ(read_tree(out_), "");
}

TEST_F(Output, OverwriteReplacesAtTheEnd) {
  fs::create_directory(out_);
  const std::string manifest = "{\"format\": \"regroup-manifest/1\", \"output\": {\"files\": []}}";
  write_file(out_ + "/regroup.json", manifest);
  const std::string before = read_tree(out_);
  {
    OutputFolder folder(out_, kJob, {.overwrite = true});
    for (const auto& [name, bytes] : golden_files()) write_one(folder, name, bytes);
    EXPECT_EQ(read_tree(out_), before);
    folder.publish();
  }
  EXPECT_EQ(read_tree(out_), golden_tree());
  const auto entries = fs::directory_iterator(temporary_.path());
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1);
}

TEST_F(Output, OverwriteSparesWhatTookThePlaceMeanwhile) {
  OutputFolder folder(out_, kJob, {.overwrite = true});
  for (const auto& [name, bytes] : golden_files()) write_one(folder, name, bytes);
  fs::create_directory(out_);
  write_file(out_ + "/thesis.txt", "not ours");
  expect_error<ConfigError>("OUTPUT_FOREIGN", [&] { folder.publish(); });
  EXPECT_EQ(read_file(out_ + "/thesis.txt"), "not ours");
  fs::remove_all(out_);
  folder.publish();  // nothing of the new folder was lost
  EXPECT_EQ(read_tree(out_), golden_tree());
}

TEST_F(Output, ASecondProcessIsLockedOut) {
  std::array<int, 2> ready{};
  ASSERT_EQ(::pipe(ready.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const OutputFolder folder(out_, kJob, {});
    (void)!::write(ready[1], "x", 1);
    ::pause();
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  const ErrorInfo error = expect_error<ConfigError>("LOCKED", [&] { run_job(out_); });
  EXPECT_EQ(error.message, partial_ + ": is being written by another process");
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(run_job(out_), 0);  // the lock died with its owner
  ::close(ready[0]);
  ::close(ready[1]);
}

// Every prefix of the note of what is finished, and a flipped bit in every byte of it: the result is
// the same or the run stops with a typed error.
TEST_F(Output, ADamagedProgressNoteCostsWorkOnly) {
  run_job(out_, {}, 2);
  const std::string progress = read_file(partial_ + "/PROGRESS.json");
  const fs::path saved = temporary_ / "saved";
  fs::copy(partial_, saved, fs::copy_options::recursive);
  const auto resume_with = [&](const std::string& note) {
    remove_tree(partial_);
    fs::copy(saved, partial_, fs::copy_options::recursive);
    write_file(partial_ + "/PROGRESS.json", note);
    run_job(out_);
    const bool same = read_tree(out_) == golden_tree();
    remove_tree(out_);
    return same;
  };
  for (size_t i = 0; i < progress.size(); i += 7) {
    ASSERT_TRUE(resume_with(progress.substr(0, i))) << i;
    std::string flipped = progress;
    flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 7)));
    ASSERT_TRUE(resume_with(flipped)) << i << ": " << flipped;
  }
  for (const char* note : {"[]", "null", "{\"config.json\":1}", "{\"config.json\":{\"sha256\":1}}",
                           "{\"config.json\":{}}"}) {
    ASSERT_TRUE(resume_with(note)) << note;
  }
}

// SIGKILL at a random moment, again and again; half the time the next run is killed too.
TEST_F(Output, SurvivesRandomKills) {
  const auto start = std::chrono::steady_clock::now();
  run_job(temporary_ / "timed");
  const auto whole = std::chrono::duration_cast<std::chrono::microseconds>(
                         std::chrono::steady_clock::now() - start)
                         .count();
  const std::string golden = golden_tree();
  Random random(20'240'502);
  int kills = 0;
  int published = 0;
  for (int attempt = 0; kills < 250 && attempt < 5'000; ++attempt) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      try {
        run_job(out_);
        ::_exit(0);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        ::_exit(1);
      }
    }
    // A forked process runs slower at first than the one that was timed.
    ::usleep(static_cast<useconds_t>(random.below(static_cast<uint64_t>(3 * whole + 500))));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    kills += WIFSIGNALED(status);
    if (path_exists(out_)) {
      ASSERT_EQ(read_tree(out_), golden) << "after " << kills << " kills";
      ++published;
    } else if (random.below(2) == 0) {
      run_job(out_);
      ASSERT_EQ(read_tree(out_), golden) << "after " << kills << " kills";
    } else {
      continue;
    }
    remove_tree(out_);
  }
  EXPECT_GE(kills, 250);
  EXPECT_GT(published, 0);  // some runs came to their end
  RecordProperty("kills", kills);
}

TEST(OutputPath, IsCheckedBeforeAnyWork) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "model");
  fs::create_directory(folder / "empty");
  folder.write("file", "x");
  fs::create_directory_symlink(folder / "model", folder / "link");
  fs::create_symlink("nowhere", folder / "dangling");
  const struct {
    const char* why;
    std::string out;
    const char* code;
  } cases[] = {
      {"the input", folder / "model", "OUTPUT_IS_INPUT"},
      {"with a slash", folder / "model/", "OUTPUT_IS_INPUT"},
      {"inside", folder / "model/out", "OUTPUT_IS_INPUT"},
      {"around", folder.path(), "OUTPUT_IS_INPUT"},
      {"by a link", folder / "link", "OUTPUT_IS_INPUT"},
      {"inside by a link", folder / "link/out", "OUTPUT_IS_INPUT"},
      {"by dots", folder / "empty/../model", "OUTPUT_IS_INPUT"},
      {"file", folder / "file", "OUTPUT_EXISTS"},
      {"empty folder", folder / "empty", "OUTPUT_EXISTS"},
      {"dangling link", folder / "dangling", "OUTPUT_EXISTS"},
      {"its partial folder", folder / "source", "OUTPUT_IS_INPUT"},
      {"no parent", folder / "absent/out", "OUTPUT_PARENT"},
      {"nothing", "", "OUTPUT_EMPTY"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.why);
    expect_error<ConfigError>(c.code, [&] {
      check_output_path(c.out, {folder / "model", folder / "source.partial"}, false);
    });
  }
  for (const char* good : {"out", "out/", "model2"}) {
    EXPECT_NO_THROW(check_output_path(folder / good, {folder / "model"}, false)) << good;
  }
  EXPECT_NO_THROW(check_output_path(folder / "empty", {folder / "model"}, true));
  EXPECT_NO_THROW(check_output_path("out-in-this-folder", {}, false));
  // --overwrite replaces folders that hold a manifest of ours and what it names, and nothing else.
  folder.write("empty/config.json", "{}");
  folder.write("empty/regroup.json",
               "{\"format\": \"regroup-manifest/1\", \"output\": {\"files\": [{\"path\": "
               "\"config.json\"}]}}");
  EXPECT_NO_THROW(check_output_path(folder / "empty", {folder / "model"}, true));
  folder.write("empty/notes.txt", "mine");
  EXPECT_NE(
      expect_error<ConfigError>("OUTPUT_FOREIGN", [&] { require_replaceable(folder / "empty"); })
          .message.find("notes.txt"),
      std::string::npos);
  fs::remove(folder / "empty/notes.txt");
  for (const char* manifest : {"{\"format\": \"regroup-manifest/1\"}", "", "[]", "{}",
                               "{\"format\": 1}", "{\"format\": \"other/1\"}"}) {
    folder.write("empty/regroup.json", manifest);
    expect_error<ConfigError>("OUTPUT_FOREIGN", [&] { require_replaceable(folder / "empty/"); });
  }
  for (const char* foreign : {"file", "dangling"}) {
    expect_error<ConfigError>("OUTPUT_FOREIGN", [&] { require_replaceable(folder / foreign); });
  }
}

}  // namespace
}  // namespace regroup::testing
