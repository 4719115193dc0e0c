# frozen_string_literal: true

# What the Vagrantfile asks, and how the machines of one `vagrant up` follow each other: the first alone until it
# runs, for imports of a box and makings of a network race; then the rest at once. One Vagrant at a time.
require "digest"
require "fileutils"
require "open3"
require "yaml"

module Nodeport
  NETNS = "/run/netns/nodeport-vms"

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
    @accelerator ||= Open3.capture2(File.join(__dir__, "kvm.sh")).first.strip == "kvm" ? "kvm" : "qemu"
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

  class Plugin < Vagrant.plugin("2")
    name "nodeport"

    [:machine_action_up, :machine_action_reload, :machine_action_halt, :machine_action_destroy].each do |action|
      action_hook(:nodeport_lock, action) { |hook| hook.prepend(OneAtATime) }
    end
    action_hook(:nodeport_first, :machine_action_up) { |hook| hook.prepend(FirstAlone) }
  end
end
