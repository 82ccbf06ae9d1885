provider "aws" {}

variable "size" { default = 1 }
variable "type" { default = "gp2" }
variable "image" { type = string }
variable "friend" { type = string }
variable "note" { default = "one" }
variable "deprecated" { default = null }

data "aws_availability_zones" "all" {}

data "aws_caller_identity" "me" {}

# Volumes, on a running instance.

resource "aws_instance" "server" {
  ami               = var.image
  instance_type     = "g1.tiny"
  availability_zone = data.aws_availability_zones.all.names[0]
  root_block_device {
    volume_type = "gp3"
    volume_size = 2
    tags        = { Name = "root" }
  }
  ebs_block_device {
    device_name = "/dev/sdf"
    volume_size = 1
    encrypted   = true
  }
  lifecycle { ignore_changes = [ebs_block_device] }
}

resource "aws_ebs_volume" "data" {
  availability_zone = data.aws_availability_zones.all.names[0]
  size              = var.size
  type              = var.type
  iops              = var.type == "gp3" ? 3000 : null # a change of the type sends the iops of before otherwise
  tags              = { Name = "data", Note = var.note }
}

resource "aws_volume_attachment" "data" {
  device_name = "/dev/sdg"
  instance_id = aws_instance.server.id
  volume_id   = aws_ebs_volume.data.id
}

resource "aws_ebs_volume" "fast" {
  availability_zone = data.aws_availability_zones.all.names[0]
  size              = 10
  type              = "io1"
  iops              = var.size * 100
  encrypted         = true
}

# Snapshots, and what is made of them.

resource "aws_ebs_snapshot" "data" {
  volume_id   = aws_ebs_volume.data.id
  description = "what was there first"
  tags        = { Note = var.note }
  depends_on  = [aws_volume_attachment.data]
}

data "aws_region" "here" {}

resource "aws_ebs_snapshot_copy" "data" {
  source_snapshot_id = aws_ebs_snapshot.data.id
  source_region      = data.aws_region.here.name
  description        = "a copy"
  encrypted          = true
  kms_key_id         = aws_ebs_volume.fast.kms_key_id # without it the provider would replace the copy each time
}

resource "aws_ebs_volume" "restored" {
  availability_zone = data.aws_availability_zones.all.names[0]
  snapshot_id       = aws_ebs_snapshot_copy.data.id
  size              = 8
  type              = "gp3"
  iops              = 3500
  throughput        = 200
}

resource "aws_snapshot_create_volume_permission" "friend" {
  snapshot_id = aws_ebs_snapshot.data.id
  account_id  = var.friend
}

data "aws_ebs_snapshot" "newest" {
  most_recent = true
  owners      = ["self"]
  filter {
    name   = "description"
    values = [aws_ebs_snapshot.data.description]
  }
}

data "aws_ebs_volume" "data" {
  filter {
    name   = "volume-id"
    values = [aws_ebs_volume.data.id]
  }
}

# Images.

resource "aws_ami" "registered" {
  name                = "terraform-registered"
  root_device_name    = "/dev/xvda"
  virtualization_type = "hvm"
  deprecation_time    = var.deprecated
  ebs_block_device {
    device_name = "/dev/xvda"
    snapshot_id = aws_ebs_snapshot.data.id
    volume_size = 3
  }
}

resource "aws_ami_from_instance" "server" {
  name                    = "terraform-server"
  source_instance_id      = aws_instance.server.id
  snapshot_without_reboot = true
  depends_on              = [aws_volume_attachment.data]
}

resource "aws_ami_copy" "server" {
  name              = "terraform-copy"
  source_ami_id     = aws_ami_from_instance.server.id
  source_ami_region = data.aws_region.here.name
  encrypted         = true
}

resource "aws_ami_launch_permission" "friend" {
  image_id   = aws_ami.registered.id
  account_id = var.friend
}

# What holds for the whole account.

resource "aws_ebs_encryption_by_default" "all" {
  enabled    = true
  depends_on = [aws_ebs_volume.data, aws_ebs_volume.restored, aws_instance.server]
}

resource "aws_ebs_snapshot_block_public_access" "all" {
  state = "block-all-sharing"
}

data "aws_ebs_encryption_by_default" "now" {
  depends_on = [aws_ebs_encryption_by_default.all]
}

data "aws_ebs_default_kms_key" "now" {}

output "encrypted_by_default" { value = data.aws_ebs_encryption_by_default.now.enabled }
