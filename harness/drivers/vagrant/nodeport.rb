# frozen_string_literal: true

# What the Vagrantfile asks, and how the machines of one `vagrant up` follow each other: the first alone until it
# runs, for imports of a box and makings of a network race; then the rest at once. One Vagrant at a time.
require "digest"
require "fileutils"
require "open3"
require "yaml"

module Nodeport
  NETNS = "/run/netns/nodeport-vms"
  SILENT = 120 # seconds
  BOOT_ENDS = File.readlines(File.join(__dir__, "boot_ends.txt"), chomp: true)
                  .reject { |line| line.empty? || line.start_with?("#") }.map { |line| Regexp.new(line) }

  class << self
    attr_reader :folder, :nodes
  end

  # The folder of the Vagrantfile.
  def self.open(folder)
    @folder = folder
    @nodes = YAML.safe_load(File.read(File.join(folder, "inventories/vagrant/nodes.yml"))).fetch("nodes")
  end

  # Of the names of all machines of the folder; the driver has the same.
  def self.prefix
    "nodeport-#{Digest::SHA256.hexdigest(File.realpath(folder))[0, 8]}-"
  end

  def self.first
    nodes.first.fetch("name")
  end

  # "kvm" only where a guest really runs under it: /dev/kvm may exist and be of no use.
  def self.accelerator
    decision.first == "kvm" ? "kvm" : "qemu"
  end

  # What kvm.sh prints: the answer, and why.
  def self.decision
    @decision ||= Open3.capture2(File.join(__dir__, "kvm.sh")).first.lines.map(&:strip)
  end

  # What the console of a machine says of a boot that never ends well; nil while it may still come up.
  def self.boot_end(node, began)
    text = File.read(console(node.fetch("name")), encoding: "BINARY")
    return silence(node, began) if text.strip.empty?

    text[(text.rindex("SYSLINUX ") || 0)..].lines.each do |line|
      found = BOOT_ENDS.filter_map { |pattern| line[pattern] }.first
      return found.gsub(/[^[:print:]]/, "") if found
    end
    nil
  rescue SystemCallError
    nil
  end

  # The boot loader of our boxes greets at once; what others say, nobody knows.
  def self.silence(node, began)
    silent = Process.clock_gettime(Process::CLOCK_MONOTONIC) - began
    return unless silent > SILENT && node.fetch("box").start_with?("nodeport/")

    "it has said nothing on its console for #{SILENT} s, its boot loader does not run"
  end

  # The file to which libvirt writes a machine's serial port.
  def self.console(name)
    "/var/log/libvirt/qemu/#{prefix}#{name}-console.log"
  end

  # Held until this process ends.
  def self.lock
    return if @lock

    FileUtils.mkdir_p(File.join(folder, ".vagrant"))
    file = File.open(File.join(folder, ".vagrant", "nodeport.lock"), File::RDWR | File::CREAT)
    raise Busy unless file.flock(File::LOCK_EX | File::LOCK_NB)

    @lock = file
  end

  # Whether this `vagrant up` is about the first machine too.
  def self.first_wanted?
    names = ARGV.drop(1) & nodes.map { |node| node.fetch("name") }
    names.empty? || names.include?(first)
  end

  class Busy < Vagrant::Errors::VagrantError
    error_message("Another Vagrant makes or removes the machines of this folder; wait until it has ended.")
  end

  class DoesNotBoot < Vagrant::Errors::VagrantError
    def initialize(name, why)
      @text = "#{name} does not boot: #{why}. All that it said: #{Nodeport.console(name)}"
      super()
    end

    def error_message
      @text
    end
  end

  class OneAtATime
    def initialize(app, _env)
      @app = app
    end

    def call(env)
      LOCKING.synchronize { Nodeport.lock }
      @app.call(env)
    end

    LOCKING = Mutex.new
  end

  # The machines of one `vagrant up` are threads of one process.
  class FirstAlone
    WAIT = 300 # seconds

    class << self
      attr_accessor :over
    end

    def initialize(app, _env)
      @app = app
    end

    def call(env)
      return first(env) if env[:machine].name.to_s == Nodeport.first

      began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      until goes_on?(env) || Process.clock_gettime(Process::CLOCK_MONOTONIC) - began > WAIT
        return if env[:interrupted]

        sleep 0.5
      end
      @app.call(env)
    end

    private

    def first(env)
      @app.call(env)
    ensure
      FirstAlone.over = true
    end

    def goes_on?(env)
      return true if FirstAlone.over || !Nodeport.first_wanted?

      id = File.join(Nodeport.folder, ".vagrant/machines", Nodeport.first, env[:machine].provider_name.to_s, "id")
      File.size?(id) && runs?(File.read(id).strip)
    end

    # The process of a virtual machine has its id on its command line.
    def runs?(id)
      Dir.glob("/proc/[0-9]*/cmdline").any? do |path|
        File.read(path).split("\0").include?(id)
      rescue SystemCallError
        false
      end
    end
  end

  # Around the wait for a machine that boots: ends it at once when the console tells that it never will. The machine is
  # switched off, for a kernel that has panicked takes a whole core; a new one is then destroyed by Vagrant. (It would
  # halt one that was there before, but not one that has got no address.)
  class WatchConsole
    def initialize(app, _env)
      @app = app
    end

    def call(env)
      node = Nodeport.nodes.find { |each| each.fetch("name") == env[:machine].name.to_s }
      waiting = Thread.current
      watch = Thread.new { watch(node, waiting) }
      @app.call(env)
    rescue DoesNotBoot
      env[:machine].provider.driver.connection.client.lookup_domain_by_uuid(env[:machine].id).destroy
      raise
    ensure
      watch.kill
    end

    private

    def watch(node, waiting)
      began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      sleep 1 until (why = Nodeport.boot_end(node, began))
      waiting.raise(DoesNotBoot.new(node.fetch("name"), why))
    end
  end

  # Says aloud under what the guests run.
  class SayAcceleration
    def initialize(app, _env)
      @app = app
    end

    def call(env)
      OneAtATime::LOCKING.synchronize { say(env) }
      @app.call(env)
    end

    private

    def say(env)
      return if SayAcceleration.said || env[:machine].provider_name.to_s != "libvirt"

      SayAcceleration.said = true
      under = Nodeport.accelerator == "kvm" ? "KVM" : "QEMU without KVM"
      env[:ui].info("Guests run under #{under}: #{Nodeport.decision.last}")
    end

    class << self
      attr_accessor :said
    end
  end

  class Plugin < Vagrant.plugin("2")
    name "nodeport"

    [:machine_action_up, :machine_action_reload, :machine_action_halt, :machine_action_destroy].each do |action|
      action_hook(:nodeport_lock, action) { |hook| hook.prepend(OneAtATime) }
    end
    action_hook(:nodeport_first, :machine_action_up) { |hook| hook.prepend(FirstAlone) }
    action_hook(:nodeport_says, :machine_action_up) { |hook| hook.prepend(SayAcceleration) }
    if defined?(VagrantPlugins::ProviderLibvirt)
      action_hook(:nodeport_console, ALL_ACTIONS) do |hook|
        hook.before(VagrantPlugins::ProviderLibvirt::Action::WaitTillUp, WatchConsole)
      end
    end
  end
end
